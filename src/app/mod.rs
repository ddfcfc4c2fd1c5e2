//! The roof: wiring, life cycle and the command line. The one room that knows all others, and it
//! only wires; whatever decides lives below. Read [`App`] first.

mod listen;
mod telemetry;
mod tls;
