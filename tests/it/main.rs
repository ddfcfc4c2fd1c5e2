//! Whole roads through the library and the binary: no sleeping, no fixed ports.

mod check;
mod cli;
mod copies;
#[path = "../fuzz/mod.rs"]
mod fuzz;
mod load;
mod memory;
mod road;
mod rules;
mod service;
mod sync;
mod thrift;
mod tidy;
mod viewers;
