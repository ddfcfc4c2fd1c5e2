//! The roof: wiring, life cycle and the command line. The one room that knows all others, and it
//! only wires; whatever decides lives below. Read [`App`] first.

mod command;
pub mod demo;
pub mod keys;
mod listen;
pub mod publish;
pub mod sunset;
mod telemetry;
mod tls;

pub use command::Inputs;
