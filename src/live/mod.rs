//! Hub to HLS: one packager for each broadcast fills one rendition, which holds what viewers get
//! and wakes those who wait. No socket, no HTTP word; nothing here decides who may publish.
//! Read [`Rendition`] first, then [`Supervisor`], which keeps the [`Directory`] of them.

mod advice;
mod directory;
mod lag;
mod media;
mod memory;
mod metrics;
mod packager;
mod published;
#[cfg(test)]
mod race_tests;
mod rendition;
#[cfg(test)]
mod stage_tests;
mod supervisor;
mod waiting;

pub use advice::Advice;
pub use directory::Directory;
pub use lag::LagWatch;
pub use media::{Media, MediaBody, MediaKind};
pub use metrics::Metrics;
pub use published::Published;
pub use rendition::{Rendition, RenditionState};
pub use supervisor::{Context, Settings, Supervisor};
pub use waiting::{ComingPart, ComingVersion, Wait, WaitRefusal};

// What a viewer's request is made of, so that the shell needs no other room for it.
pub use crate::hls::{
    Closing, MULTIVARIANT, MediaName, PlaylistForm, Targets, Text, Want, alias_prefix,
};
pub use crate::hub::EndReason;
