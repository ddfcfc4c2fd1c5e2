//! Whole roads through the library and the binary: no sleeping, no fixed ports.

mod cli;
mod copies;
mod service;
mod tidy;
