//! What a playlist that let go of something has promised to keep for a while. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::view::{Piece, PieceKind, Spot, View};

/// How long before a promise ends it is looked at.
const MARGIN: Duration = Duration::from_millis(300);
/// Looks that wait for their time; more are not asked of a server.
const DUE_MAX: usize = 32;

/// A second look at something that is no longer listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Duration,
    /// Later than this nothing is promised.
    pub(super) until: Duration,
    pub(super) rule: &'static str,
    pub(super) piece: Piece,
}

#[derive(Debug, Default)]
pub(super) struct Promises {
    listed: BTreeMap<Spot, Listing>,
    due: Vec<Due>,
    /// When the version before was asked for.
    before: Option<Duration>,
}

#[derive(Debug)]
struct Listing {
    piece: Piece,
    /// No earlier than this it was listed first; unknown for what the first version lists.
    since: Option<Duration>,
    /// The longest playlist that held it.
    longest: Duration,
    /// When the last version that lists it was asked for.
    last: Duration,
}

impl Promises {
    /// Takes in the version that was asked for at `asked`. All times count from the start of the
    /// watch.
    pub(super) fn see(&mut self, view: &View, asked: Duration) {
        let since = self.before.replace(asked);
        for piece in view.pieces.iter().filter(|piece| !piece.gap) {
            if piece.kind == PieceKind::Init {
                continue;
            }
            let listing = self.listed.entry(piece.place.clone()).or_insert_with(|| Listing {
                piece: piece.clone(),
                since,
                longest: Duration::ZERO,
                last: asked,
            });
            listing.longest = listing.longest.max(view.length);
            listing.last = asked;
        }
        let gone: Vec<_> = self
            .listed
            .extract_if(.., |_, listing| listing.last < asked)
            .map(|(_, listing)| listing)
            .collect();
        self.due.extend(gone.iter().filter_map(|listing| listing.due(view.target, asked)));
        self.due.truncate(DUE_MAX);
    }

    /// One whose time has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Due> {
        let found = self.due.iter().position(|due| due.at <= now)?;
        Some(self.due.swap_remove(found))
    }

    /// When the next one's time comes.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.iter().map(|due| due.at).min()
    }
}

impl Listing {
    /// Of a playlist that has not ended a segment is promised from when it was listed first, not from
    /// when it left; a part from when it left (draft-pantos-hls-rfc8216bis 6.2.2).
    fn due(&self, target: Duration, now: Duration) -> Option<Due> {
        let (rule, until) = match self.piece.kind {
            PieceKind::Init => return None,
            PieceKind::Part => ("H23", self.last + target * 3),
            PieceKind::Segment => ("H22", self.since? + self.piece.length + self.longest),
        };
        let at = until.saturating_sub(MARGIN);
        (now < at).then(|| Due { at, until, rule, piece: self.piece.clone() })
    }
}
