use std::sync::{Arc, OnceLock};

use super::waiting::WaitRefusal;
use crate::base::{MediaSeq, PartIndex};
use crate::hls::{Edge, Reach, Targets, Text, Want, without_parts};

/// One version of a broadcast's playlist. Everybody who asks while it is the newest gets these
/// bytes.
#[derive(Debug)]
pub struct Published {
    /// From 1, rising by one.
    pub version: u64,
    pub playlist: Text,
    /// The same version as a delta update, where one is offered and something can be skipped.
    pub delta: Option<Text>,
    pub(super) plain: OnceLock<Text>,
    /// The newest segment that is listed or has a listed part.
    pub last_msn: MediaSeq,
    /// The newest part of that segment.
    pub last_part: Option<PartIndex>,
    pub targets: Targets,
    /// The final playlist.
    pub ended: bool,
    pub(super) edge: Edge,
}

impl Published {
    /// The same version without parts. It is made when somebody asks, which is only while memory
    /// runs out.
    pub fn plain(&self) -> &Text {
        self.plain.get_or_init(|| {
            let text = String::from_utf8_lossy(self.playlist.plain());
            Text::new(without_parts(&text), format!("{}-plain", self.playlist.etag()))
        })
    }
}

/// What there is to show of a broadcast.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// No part yet.
    Nothing,
    Current(Arc<Published>),
    /// No longer: the broadcast ended without a part, or long ago.
    Withdrawn,
}

impl Shown {
    pub(super) fn published(&self) -> Option<Arc<Published>> {
        match self {
            Self::Current(published) => Some(published.clone()),
            Self::Nothing | Self::Withdrawn => None,
        }
    }

    /// Whether a wait for `want` is over, and how.
    pub(super) fn judge(&self, want: Want) -> Judged<'_> {
        match self {
            Self::Nothing => Judged::Hold,
            Self::Withdrawn => Judged::Refuse(WaitRefusal::Gone),
            Self::Current(published) if published.ended => Judged::Answer(published),
            Self::Current(published) => match published.edge.reach(want, published.targets.part) {
                Reach::Listed => Judged::Answer(published),
                Reach::Ahead => Judged::Hold,
                Reach::TooFar => Judged::Refuse(WaitRefusal::TooFarAhead),
            },
        }
    }

    /// All that a wait for a whole segment hangs on.
    pub(super) fn whole(&self) -> Option<(bool, Option<(MediaSeq, u32)>)> {
        match self {
            Self::Current(published) => Some((published.ended, published.edge.closed)),
            Self::Nothing | Self::Withdrawn => None,
        }
    }

    /// Whether nothing more is to be waited for before a part of this number is looked up.
    pub(super) fn has_passed(&self, part: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Withdrawn => true,
            Self::Current(published) => published.ended || published.edge.next_part > part,
        }
    }
}

/// What to do with a request that may have to wait.
#[derive(Debug)]
pub(super) enum Judged<'a> {
    Answer(&'a Arc<Published>),
    Hold,
    Refuse(WaitRefusal),
}
