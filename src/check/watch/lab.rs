//! Brings what was fetched before the judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::address::Address;
use super::desk::Desk;
use super::rendition::Rendition;
use super::view::{Piece, PieceKind, View};
use crate::check::{
    Listed, Multivariant, Playlist, Tag, Variant, Watched, attribute, judge_delta, judge_holes,
    judge_matching, judge_multivariant, judge_playlist, judge_reload, judge_renditions,
    judge_variant,
};

/// Segments whose parts are kept until the segment itself has come.
const SEGMENTS_MAX: usize = 4;
/// Bytes of parts that are kept so, of all segments together.
const PARTS_BYTES_MAX: usize = 64 << 20;
/// Variants that are judged beside their media.
const VARIANTS_MAX: usize = 100;
/// Lines that tell of other playlists, which go on meanwhile.
const REPORT: &str = "#EXT-X-RENDITION-REPORT";

/// The media of one rendition.
#[derive(Debug, Default)]
pub(super) struct Lab {
    watched: Watched,
    parts: Parts,
}

/// Parts by the media sequence number of their segment.
#[derive(Debug, Default)]
struct Parts(BTreeMap<u64, Vec<Bytes>>);

impl Parts {
    /// Takes the part of this index: from the first on, without a hole; others prove nothing. The
    /// oldest segments make room.
    fn put(&mut self, msn: u64, index: usize, body: Bytes) {
        let parts = self.0.entry(msn).or_default();
        if parts.len() == index {
            parts.push(body);
        }
        while SEGMENTS_MAX < self.0.len() || PARTS_BYTES_MAX < self.bytes() {
            self.0.pop_first();
        }
    }

    fn bytes(&self) -> usize {
        self.0.values().flatten().map(Bytes::len).sum()
    }
}

impl Lab {
    /// A piece of media came. Pieces come in the order of the playlist.
    fn take(&mut self, desk: &Desk, text: &str, piece: &Piece, body: Bytes) {
        let url = piece.place.address.as_str();
        let mut ledger = desk.ledger();
        match piece.kind {
            PieceKind::Init => self.watched.init(&mut ledger, url, &body),
            PieceKind::Part if piece.encrypted => {}
            PieceKind::Part => {
                self.watched.part(&mut ledger, url, piece.independent, &body);
                self.parts.put(piece.msn, piece.index, body);
            }
            PieceKind::Segment => {
                let playlist = Playlist::parse(text);
                let Some(segment) = playlist.at(piece.msn) else { return };
                let listed = Listed::new(url, &playlist, segment);
                self.watched.segment(&mut ledger, &listed, &body);
                let parts = self.parts.0.remove(&piece.msn).unwrap_or_default();
                if !parts.is_empty() && parts.len() == segment.parts.len() {
                    let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
                    self.watched.parts_of(&mut ledger, url, &body, &parts);
                }
            }
        }
    }
}

impl Rendition {
    /// A whole version, and the one before it.
    pub(super) fn judge_version(&self, before: Option<&str>, body: &[u8], now: &str) {
        let url = self.address.as_str();
        let mut ledger = self.desk.ledger();
        judge_playlist(&mut ledger, url, body);
        judge_holes(&mut ledger, url, now);
        if let Some(before) = before {
            judge_reload(&mut ledger, url, before, now);
        }
    }

    /// A delta update, the version before it, and the one it stands for.
    pub(super) fn judge_delta(&self, before: &str, delta: &str, whole: &str) {
        let url = self.address.as_str();
        let mut ledger = self.desk.ledger();
        judge_playlist(&mut ledger, url, delta.as_bytes());
        let reports = |text: &str| {
            let lines = text.lines().filter(|line| line.starts_with(REPORT));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        if reports(delta) == reports(whole) {
            judge_delta(&mut ledger, url, before, delta, whole);
        }
    }

    /// Media that the newest version lists, or did a moment ago.
    pub(super) fn judge_media(&self, piece: &Piece, body: Bytes) {
        let Some(version) = self.version() else { return };
        let mut lab = self.lab.lock().unwrap_or_else(PoisonError::into_inner);
        lab.take(&self.desk, &version.text, piece, body);
    }
}

/// A multivariant playlist by itself.
pub(super) fn judge_presentation(desk: &Desk, address: &Address, text: &str) {
    judge_multivariant(&mut desk.ledger(), address.as_str(), text.as_bytes());
}

/// Media playlists fetched at the same time.
pub(super) fn judge_together(desk: &Desk, versions: &[(Address, String, View)]) {
    let all: Vec<_> =
        versions.iter().map(|(address, text, _)| (address.as_str(), text.as_str())).collect();
    judge_renditions(&mut desk.ledger(), &all);
}

/// After the watch: what the multivariant playlist said, beside the media that came.
pub(super) fn judge_variants(desk: &Desk, base: &Address, text: &str, all: &[Arc<Rendition>]) {
    let seen: Vec<_> = all
        .iter()
        .map(|rendition| {
            let lab = rendition.lab.lock().unwrap_or_else(PoisonError::into_inner);
            (&rendition.address, lab.watched.clone())
        })
        .collect();
    let watched = |uri: &str| {
        let address = base.join(uri).ok()?;
        seen.iter().find(|(known, _)| **known == address).map(|(_, watched)| watched)
    };
    let presentation = Multivariant::parse(text);
    let mut ledger = desk.ledger();
    let mut matching = Vec::new();
    for variant in different(&presentation) {
        let Some(own) = watched(variant.uri) else { continue };
        let sound = groups(&presentation, variant).take(all.len()).filter_map(watched);
        let media: Vec<_> = std::iter::once(own).chain(sound).collect();
        judge_variant(&mut ledger, base.as_str(), variant, &media);
        matching.push((variant.uri, own));
    }
    judge_matching(&mut ledger, &matching);
}

/// The first variants that are not the same as one before.
fn different<'a>(presentation: &'a Multivariant<'a>) -> impl Iterator<Item = &'a Variant<'a>> {
    let mut known = BTreeSet::new();
    let variants = presentation.variants.iter();
    variants.filter(move |variant| known.insert((variant.uri, variant.list))).take(VARIANTS_MAX)
}

/// The addresses of the sound that belongs to a variant.
fn groups<'a>(
    presentation: &'a Multivariant<'a>,
    variant: &'a Variant<'a>,
) -> impl Iterator<Item = &'a str> {
    let group = variant.attribute("AUDIO");
    let belongs = move |(tag, _): &&(Tag<'a>, &'a str)| {
        group.is_some() && attribute(tag.value, "GROUP-ID") == group
    };
    presentation.renditions.iter().filter(belongs).map(|(_, uri)| *uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_countless_variants_are_judged_once_and_some() {
        let count = |lines: &mut dyn Iterator<Item = u32>| {
            let variant = |rate| format!("#EXT-X-STREAM-INF:BANDWIDTH={rate}\nlive.m3u8\n");
            let text = lines.map(variant).collect::<String>();
            let presentation = Multivariant::parse(&text);
            different(&presentation).count()
        };
        assert_eq!(count(&mut (0..10_000).map(|n| n % 3)), 3);
        assert_eq!(count(&mut (0..10_000)), VARIANTS_MAX);
    }

    #[test]
    fn parts_that_wait_for_their_segment_are_bounded_together() {
        let mut parts = Parts::default();
        let body = Bytes::from(vec![0; PARTS_BYTES_MAX / 4]);
        for (msn, index) in [(1, 0), (1, 1), (2, 0), (2, 2), (2, 1)] {
            parts.put(msn, index, body.clone());
        }
        let counts = |parts: &Parts| -> Vec<_> {
            parts.0.iter().map(|(msn, parts)| (*msn, parts.len())).collect()
        };
        assert_eq!(counts(&parts), [(1, 2), (2, 2)], "a part behind a hole is not kept");
        parts.put(3, 0, body.clone());
        assert_eq!(counts(&parts), [(2, 2), (3, 1)]);
        // One open segment whose parts never end.
        (1..9).for_each(|index| parts.put(3, index, body.clone()));
        assert!(parts.bytes() <= PARTS_BYTES_MAX, "{}", parts.bytes());
        (4..20).for_each(|msn| parts.put(msn, 0, Bytes::from_static(b"part")));
        assert_eq!(parts.0.len(), SEGMENTS_MAX);
    }
}
