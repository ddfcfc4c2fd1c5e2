//! RTMP: publishers come in, and our own publisher goes out.
//! No frame is interpreted here and no date is compared: `media` reads payloads, `gate` decides.
//! Read [`Wire`] first (bytes to messages), then [`Session`] (messages to events).

mod address;
mod admit;
mod aggregate;
pub mod amf;
mod chunk;
mod conn;
mod context;
mod guesses;
mod handshake;
mod inbox;
mod logbook;
mod low_water;
mod metrics;
mod outbox;
mod pace;
mod publish;
mod pulse;
mod replies;
mod server;
mod session;
mod slots;
mod status;
mod throttle;
mod wire;
mod writer;

pub mod client;

#[cfg(test)]
#[path = "causes_tests.rs"]
mod causes;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile;
#[cfg(test)]
mod storm_tests;
#[cfg(test)]
#[path = "world_tests.rs"]
mod world;

pub use address::KeyFault;
pub use aggregate::Aggregate;
pub use context::Context;
pub use handshake::{Handshake, HandshakeError, Progress};
pub use metrics::Metrics;
pub use server::Server;
pub use session::{Event, PublishAsked, Session, Settings};
pub use status::{Cause, Status};
pub use wire::{Message, MessageKind, Wire, WireError};
pub use writer::Writer;
