//! What a player needs from a media playlist. It says nothing about right and wrong.

use std::ops::Range;
use std::time::Duration;

use super::address::Address;
use super::pace::Edge;
use crate::check::{Playlist, Resource, Segment, micros, wall_micros};

/// A media playlist as a player sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) target: Duration,
    pub(super) part_target: Option<Duration>,
    /// Media sequence number of the first segment.
    pub(super) first: u64,
    pub(super) edge: Edge,
    /// Parts listed of the last whole segment.
    pub(super) parts_of_last: usize,
    /// All that is listed.
    pub(super) length: Duration,
    /// The date at which it ends, in microseconds, where it has dates.
    pub(super) end_date: Option<i64>,
    pub(super) ended: bool,
    /// Segments come and go.
    pub(super) live: bool,
    pub(super) low_latency: bool,
    pub(super) can_block: bool,
    pub(super) can_skip_until: Option<Duration>,
    pub(super) can_skip_dates: bool,
    /// Segments that a delta update leaves out.
    pub(super) skipped: u64,
    pub(super) byte_ranges: bool,
    pub(super) pieces: Vec<Piece>,
    pub(super) hint: Option<Spot>,
}

/// Bytes that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) address: Address,
    pub(super) range: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PieceKind {
    Init,
    Part,
    Segment,
}

/// Something a playlist lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) place: Spot,
    pub(super) msn: u64,
    /// Number of a part within its segment.
    pub(super) index: usize,
    pub(super) length: Duration,
    pub(super) gap: bool,
    /// A part with a frame to begin at, as listed.
    pub(super) independent: bool,
    pub(super) encrypted: bool,
}

impl View {
    pub(super) fn of(address: &Address, text: &str) -> Self {
        let playlist = Playlist::parse(text);
        let control = |name| playlist.attribute("EXT-X-SERVER-CONTROL", name);
        let hint = playlist.hint("PART").and_then(|hint| Spot::of(address, &hint));
        Self {
            target: length(playlist.target()),
            part_target: playlist.part_target().filter(|_| playlist.low_latency()).map(length),
            first: playlist.media_sequence,
            edge: Edge { msn: playlist.open.msn, parts: playlist.open.parts.len() },
            parts_of_last: playlist.segments.last().map_or(0, |last| last.parts.len()),
            length: length(playlist.length()),
            end_date: end_date(&playlist),
            ended: playlist.ended(),
            live: playlist.live(),
            low_latency: playlist.low_latency(),
            can_block: control("CAN-BLOCK-RELOAD") == Some("YES"),
            can_skip_until: control("CAN-SKIP-UNTIL").and_then(micros).map(length),
            can_skip_dates: control("CAN-SKIP-DATERANGES") == Some("YES"),
            skipped: playlist.skipped,
            byte_ranges: playlist.segments.iter().any(|segment| segment.range.is_some()),
            pieces: playlist.all().flat_map(|segment| pieces(address, segment)).collect(),
            hint: hint.filter(|hint| hint.range.is_none()),
        }
    }

    /// Whether part `part` of segment `msn` is listed, or anything later.
    pub(super) fn reaches(&self, msn: u64, part: usize) -> bool {
        self.ended || Edge { msn, parts: part } < self.edge
    }

    /// The oldest segments may be left out of a delta update.
    pub(super) fn can_skip(&self) -> bool {
        let first = self.pieces.iter().find(|piece| piece.kind == PieceKind::Segment);
        let rest = self.length.saturating_sub(first.map_or(Duration::ZERO, |first| first.length));
        let until = self.can_skip_until.filter(|_| !self.ended);
        until.is_some_and(|until| until + self.target <= rest)
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.kind == PieceKind::Segment)
    }
}

impl Spot {
    pub(super) fn of(playlist: &Address, resource: &Resource<'_>) -> Option<Self> {
        let range = resource.range.clone().map(|Range { start, end }| (start, end));
        Some(Self { address: playlist.join(resource.uri).ok()?, range })
    }
}

/// The last date, and what is listed since.
fn end_date(playlist: &Playlist<'_>) -> Option<i64> {
    playlist.all().fold(None, |end, segment| {
        let from = segment.date.and_then(wall_micros).or(end)?;
        let whole = segment.extinf.is_some();
        Some(from.saturating_add(if whole { segment.micros() } else { segment.parts_micros() }))
    })
}

fn pieces(address: &Address, segment: &Segment<'_>) -> Vec<Piece> {
    let encrypted = segment.key.is_some();
    let piece = |kind, resource: &Resource<'_>, index, micros, gap| {
        let (msn, length, independent) = (segment.msn, length(micros), false);
        let place = Spot::of(address, resource).filter(|_| !resource.uri.is_empty());
        place.map(|place| Piece { kind, place, msn, index, length, gap, independent, encrypted })
    };
    let map = segment.map.as_ref();
    let init = map.and_then(|map| piece(PieceKind::Init, map, 0, 0, segment.gap));
    let parts = segment.parts.iter().enumerate().filter_map(|(index, part)| {
        let resource = Resource { uri: part.uri, range: part.range.clone() };
        let found = piece(PieceKind::Part, &resource, index, part.micros, part.gap);
        found.map(|found| Piece { independent: part.independent, ..found })
    });
    let whole = Resource { uri: segment.uri, range: segment.range.clone() };
    let whole = piece(PieceKind::Segment, &whole, 0, segment.micros(), segment.gap);
    init.into_iter().chain(parts).chain(whole).collect()
}

fn length(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
