//! Frames to playlists: the segmenter cuts parts and segments, the window slides over them, the
//! playlists are rendered once per version. No socket, no task, no clock.
//! Read [`Cut`] first: it is everything the segmenter says and the window hears.

mod segment;
mod settings;

pub use segment::{Cut, InitSegment, Part, SegmentStart, Targets};
pub use settings::Settings;

use std::time::Duration;

/// The longest TARGETDURATION we promise, however long the encoder's GOPs are (R24).
pub const SEGMENT_TARGET_MAX: Duration = Duration::from_secs(10);
