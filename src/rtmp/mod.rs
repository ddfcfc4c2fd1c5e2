//! RTMP: publishers come in, and our own publisher goes out.
//! No frame is interpreted here and no date is compared: `media` reads payloads, `gate` decides.
//! Read [`Wire`] first (bytes to messages), then [`Session`] (messages to events).

mod address;
mod aggregate;
pub mod amf;
pub mod client;
mod handshake;
mod pulse;
mod session;
mod status;
mod wire;
mod writer;

pub use address::KeyFault;
pub use aggregate::Aggregate;
pub use handshake::{Handshake, HandshakeError, Progress};
pub use session::{Event, PublishAsked, Session, Settings};
pub use status::{Cause, Status};
pub use wire::{Message, MessageKind, Wire, WireError};
pub use writer::Writer;
