//! Fuzz entry point of the judge: whatever a server sends, it is judged and the judge ends.

use crate::check::{
    Ledger, Listed, Multivariant, Playlist, Watched, judge_delta, judge_multivariant,
    judge_playlist, judge_reload, judge_renditions, judge_variant,
};

const URL: &str = "https://host/live/a.m3u8";

/// An even first byte, then two playlists with a NUL between them; or an odd one, then the length
/// of an init segment in two bytes, the init segment, and a segment.
///
/// # Panics
/// When a finding names a rule that is not in the catalog.
pub fn judge(input: &[u8]) {
    let Some((&kind, rest)) = input.split_first() else { return };
    let mut ledger = Ledger::default();
    if kind.is_multiple_of(2) {
        let mut texts = rest.split(|byte| *byte == 0);
        let first = texts.next().unwrap_or_default();
        playlists(&mut ledger, first, texts.next().unwrap_or_default());
    } else if let Some((length, rest)) = rest.split_first_chunk() {
        let (init, segment) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        media(&mut ledger, init, segment);
    }
    let known = ledger.outcomes().filter_map(|(_, outcome)| match outcome {
        crate::check::Outcome::Broken { findings, .. } => Some(findings.len()),
        crate::check::Outcome::Held { .. } | crate::check::Outcome::NotApplicable(_) => None,
    });
    assert_eq!(known.sum::<usize>(), ledger.findings().count());
}

fn playlists(ledger: &mut Ledger, first: &[u8], second: &[u8]) {
    for body in [first, second] {
        judge_playlist(ledger, URL, body);
        judge_multivariant(ledger, URL, body);
    }
    let (Ok(first), Ok(second)) = (str::from_utf8(first), str::from_utf8(second)) else { return };
    judge_reload(ledger, URL, first, second);
    judge_delta(ledger, URL, first, second, first);
    judge_renditions(ledger, &[(URL, first), ("https://host/live/b.m3u8", second)]);
}

fn media(ledger: &mut Ledger, init: &[u8], segment: &[u8]) {
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c01e\",RESOLUTION=1x1\na\n";
    let playlist = Playlist::parse("#EXTM3U\n#EXTINF:1,\na\n#EXTINF:1,\nb\n");
    let mut watched = Watched::default();
    watched.init(ledger, URL, init);
    for listed in &playlist.segments {
        watched.segment(ledger, &Listed::new(URL, &playlist, listed), segment);
    }
    watched.part(ledger, URL, true, segment);
    let half = segment.split_at(segment.len() / 2);
    watched.parts_of(ledger, URL, segment, &[half.1, half.0]);
    for variant in &Multivariant::parse(text).variants {
        judge_variant(ledger, URL, variant, &[&watched]);
    }
}
