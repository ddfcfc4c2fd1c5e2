//! A judge of HLS, ours or anybody's: rules with their sources, and judges that look at playlists,
//! at what changed between two versions, and at media. It shares no code with the writer, so that
//! one misreading of the standard cannot hide on both sides. Read [`Rule`] and [`Ledger`] first.

mod catalog;
mod finding;
mod ledger;
mod playlist;
mod text;

pub use catalog::{Level, Method, RULES, Rule};
pub use finding::{Finding, Outcome, Place};
pub use ledger::Ledger;
pub use playlist::{Part, Playlist, Resource, Segment, Tag};
pub use text::{attribute, attributes, micros, resolve, wall_micros};
