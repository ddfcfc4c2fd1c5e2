use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{MediaSeq, MediaTime, WallTime};
use crate::media::Format;

/// The header of every segment of one format. A change of format makes a new one with the next
/// version; its address never serves other bytes.
#[derive(Debug)]
pub struct InitSegment {
    /// From 1, rising by one.
    pub version: u32,
    pub format: Arc<Format>,
    pub bytes: Bytes,
}

/// A partial segment: one `moof` and `mdat` in one allocation of exact size.
#[derive(Debug)]
pub struct Part {
    /// Running number within the broadcast, from 1, never reset: the next part's address is
    /// known before its segment is.
    pub number: u64,
    pub start: MediaTime,
    pub duration: MediaTime,
    /// Holds a frame that can be decoded alone.
    pub independent: bool,
    /// Missing media: no bytes, and listed as such.
    pub gap: bool,
    pub bytes: Bytes,
}

/// What the segmenter learned before the first listing and keeps for the life of the playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// EXT-X-TARGETDURATION: whole seconds that no rounded segment length exceeds.
    pub segment: Duration,
    /// PART-TARGET: no part is longer.
    pub part: Duration,
}

/// How a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStart {
    pub msn: MediaSeq,
    pub start: MediaTime,
    pub program_date_time: WallTime,
    /// Version of the init segment in force.
    pub init: u32,
    /// A break in time, tracks or configuration before this segment.
    pub discontinuity: bool,
    /// The segment stands for missing media.
    pub gap: bool,
}

/// What the segmenter yields, in playlist order. `Targets` comes once and first; every `Init`
/// before the first segment that needs it; parts between their segment's `Open` and `Close`.
#[derive(Clone, Debug)]
pub enum Cut {
    Targets(Targets),
    Init(Arc<InitSegment>),
    Open(SegmentStart),
    Part(Arc<Part>),
    Close {
        /// Length of the whole segment: that of its video where there is video.
        duration: MediaTime,
    },
}
