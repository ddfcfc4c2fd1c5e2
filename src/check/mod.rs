//! A judge of HLS, ours or anybody's: rules with their sources, and judges that look at playlists,
//! at what changed between two versions, and at media. It shares no code with the writer, so that
//! one misreading of the standard cannot hide on both sides. Read [`Rule`] and [`Ledger`] first.

mod catalog;
mod define;
mod delta;
mod finding;
mod holes;
mod ledger;
mod lint;
mod look;
mod low_latency;
mod media;
mod multivariant;
mod playlist;
mod reload;
mod renditions;
mod text;
pub mod watch;
mod words;

pub use catalog::{Level, Method, RULES, Rule};
pub use define::{DefineError, Variables, substitute};
pub use delta::judge_delta;
pub use finding::{Finding, Outcome, Place};
pub use holes::judge_holes;
pub use ledger::Ledger;
pub use lint::judge_playlist;
pub use media::{Listed, Watched, judge_matching, judge_variant};
pub use multivariant::{Multivariant, Variant, judge_multivariant};
pub use playlist::{Part, Playlist, Resource, Segment, Tag};
pub use reload::judge_reload;
pub use renditions::judge_renditions;
pub use text::{attribute, attributes, micros, resolve, wall_micros};

#[cfg(test)]
mod tests;
