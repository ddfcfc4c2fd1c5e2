//! The roof: wiring, life cycle and the command line. The one room that knows all others, and it
//! only wires; whatever decides lives below. Read [`App`] first.

pub mod demo;
mod listen;
pub mod publish;
mod telemetry;
mod tls;
