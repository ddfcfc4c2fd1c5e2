//! Media looked at: fragmented MP4 and MPEG-TS, read with bounds on everything, whatever a server
//! sends.

mod bytes;
mod clip;
mod codec;
mod fragments;
mod init;
mod lengths;
mod ts;
mod variant;
mod watched;

pub use variant::{judge_matching, judge_variant};
pub use watched::{Listed, Watched};
