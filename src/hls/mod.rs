//! Frames to playlists: the segmenter cuts parts and segments, the window slides over them, the
//! playlists are rendered once per version. No socket, no task, no clock.
//! Read [`Cut`] first: it is everything the segmenter says and the window hears.

mod segment;
mod settings;

// Frames to cuts.
mod cutter;
#[cfg(test)]
mod frame_script;
mod keyframes;
mod lane;
mod listing;
mod pace;
mod segmenter;
mod sound;

// Cuts to playlists.
#[cfg(test)]
mod cut_script;
mod edge;
mod flow;
#[cfg(test)]
mod journey_tests;
mod lowlatency;
mod multivariant;
mod names;
mod playlist;
mod window;

pub use edge::{Edge, Reach, Want};
pub use lowlatency::{Closing, render, render_delta, without_parts};
pub use multivariant::{Bandwidth, Variant, render_multivariant};
pub use names::{Found, MULTIVARIANT, MediaName, PlaylistForm, alias_prefix, playlist_path};
pub use playlist::Text;
pub use segment::{Cut, InitSegment, Part, SegmentStart, Targets};
pub use segmenter::Segmenter;
pub use settings::Settings;
pub use window::Window;

use std::time::Duration;

/// The longest TARGETDURATION we promise, however long the encoder's GOPs are (R24).
pub const SEGMENT_TARGET_MAX: Duration = Duration::from_secs(10);
