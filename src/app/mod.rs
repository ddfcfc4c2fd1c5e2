//! The roof: wiring, life cycle and the command line. The one room that knows all others, and it
//! only wires; whatever decides lives below. Read [`App`] first.

#[expect(clippy::module_inception, reason = "the file is named after its one type")]
mod app;
pub mod check;
mod cli;
mod command;
pub mod demo;
mod drain;
mod first_start;
pub mod heartbeat;
pub mod keys;
mod lines;
mod listen;
mod listeners;
pub mod load;
pub mod publish;
mod quiet;
mod records;
mod reload;
mod run;
mod stage;
pub mod sunset;
mod table;
mod telemetry;
mod tls;
mod welcome;
mod wiring;

pub use app::{App, Options};
pub use command::Inputs;
pub use run::main;
