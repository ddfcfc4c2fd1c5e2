//! Frames to playlists: the segmenter cuts parts and segments, the window slides over them, the
//! playlists are rendered once per version. No socket, no task, no clock.
//! Read [`Cut`] first: it is everything the segmenter says and the window hears.

mod segment;

pub use segment::{Cut, InitSegment, Part, SegmentStart, Targets};
