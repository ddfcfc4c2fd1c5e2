//! What tests of several rooms share: small clips, clocks, fuzz entry points, and judges of what
//! the server says, written apart from the code they judge. Looked at only by tests; nothing in
//! the server may use it.

pub mod clips;
pub mod clock;
pub mod delta;
pub mod dice;
pub mod fault;
pub mod fuzz;
pub mod fuzz_check;
pub mod fuzz_chunks;
pub mod fuzz_hls;
pub mod fuzz_http;
pub mod fuzz_mp4;
pub mod fuzz_rtmp;
pub mod fuzz_tags;
pub mod lint;
pub mod log;
pub mod player;
pub mod proxy;
#[cfg(test)]
pub mod race;
mod script;
