//! The fault matrix: one test or more for each row, one file for each family. The rows that need
//! no process of their own (F11, F12, F13 and F37) are held in `src/rtmp/fault_tests.rs`, F35 and F36
//! are the attack client's.

use std::time::{Duration, Instant};

mod calendar;
mod certificates;
mod encoders;
mod lines;
mod logs;
mod process;
mod scarcity;
mod viewers;

/// How often a fault that strikes at random is repeated: more at night.
fn rounds() -> u64 {
    let rounds = std::env::var("GHOSTLIGHT_FAULT_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Where chance begins: another number at night.
fn seed() -> u64 {
    let seed = std::env::var("GHOSTLIGHT_FAULT_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    eprintln!("GHOSTLIGHT_FAULT_SEED={seed}");
    seed
}

/// Waits until it is so, `within` a time, and answers how long it took.
pub(crate) fn until(what: &str, within: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}
