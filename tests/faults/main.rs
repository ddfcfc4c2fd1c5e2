//! What happens to five real streams when everything around them goes wrong: a real server
//! process, real sockets and real time. `tests/run` runs this against the release binary, one test
//! at a time; by hand: `GHOSTLIGHT_BIN=... cargo test --test faults -- --test-threads=1`.
#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "these tests run in real time, start their own tasks, and print what they measured"
)]

mod attack;
mod encoder;
mod http;
mod machine;
mod neighbours;
mod rows;
mod shown;
mod stage;
mod unrest;
