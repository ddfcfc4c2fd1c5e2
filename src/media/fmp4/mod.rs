//! Fragmented MP4 (ISO/IEC 14496-12): the init segment of a format and the bytes of a part.
//!
//! The init segment is written once per format, so it is built from typed boxes. A part is
//! written ten times a second for every broadcast, so its few boxes are written by hand, straight
//! into one allocation of exact size.

mod init;
mod part;
#[cfg(test)]
pub(crate) mod reader;

pub use init::init_segment;
pub use part::{Sample, TrackRun, write_part};

use super::TrackKind;

/// Ticks a second of every video track. All usual frame rates divide it or come close.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// A segment type box (ISO/IEC 14496-12, 8.16.2) and nothing more: a segment without samples.
pub const EMPTY_SEGMENT: &[u8] = b"\0\0\0\x14stypmsdh\0\0\0\0msdh";

/// `track_ID` of a track, the same in every init segment and part (H36).
pub const fn track_id(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 1,
        TrackKind::Audio => 2,
    }
}
