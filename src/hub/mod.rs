//! Live broadcasts: the one place where a publisher meets readers.
//! The hub owns a bounded ring of frames for each broadcast, knows who may write to it, and says
//! *started* and *ended*; it names no output, calls nobody and never waits for a reader.
//! Read [`Registry::start`] first, then [`Publication::write`] and [`Subscription::next_batch`].

mod broadcast;
mod lull;
#[cfg(test)]
mod race_tests;
mod registry;
mod retime;
mod ring;

pub use broadcast::{
    Batch, Broadcast, BroadcastState, EndReason, Publication, Publisher, Subscription, WriteError,
};
pub use registry::{Busy, Event, Registry, Settings, Standing, StartError};
