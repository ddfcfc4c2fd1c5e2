//! RTMP: publishers come in, and our own publisher goes out.
//! No frame is interpreted here and no date is compared: `media` reads payloads, `gate` decides.
//! Read [`Wire`] first (bytes to messages), then `Session` (messages to events).

mod aggregate;
pub mod amf;
pub mod client;
mod wire;

pub use aggregate::Aggregate;
pub use wire::{Message, MessageKind, Wire, WireError};
