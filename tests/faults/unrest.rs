//! How busy the machine is with other things: a thread that only sleeps notes how late it is
//! woken. A server cannot be blamed for what nobody on the machine gets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it sleeps.
const SLEEP: Duration = Duration::from_millis(5);
/// Threads that have to be woken one after the other from a picture to the viewer who has fetched
/// its part: its publisher, the server's for reading it, for packaging it, for answering, the
/// viewer's, and again for the part itself.
const HOPS: u32 = 8;

/// The thread, until this is dropped.
#[derive(Debug)]
pub(crate) struct Unrest {
    noted: Arc<Mutex<Vec<Late>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Woken at this time, so much too late.
#[derive(Clone, Copy, Debug)]
struct Late {
    at: Instant,
    by: Duration,
}

impl Unrest {
    pub(crate) fn watch() -> Self {
        let (noted, stop) = (Arc::<Mutex<Vec<Late>>>::default(), Arc::<AtomicBool>::default());
        let (notes, stopped) = (Arc::clone(&noted), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let due = Instant::now() + SLEEP;
                thread::sleep(SLEEP);
                let at = Instant::now();
                let late = Late { at, by: at.saturating_duration_since(due) };
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(late);
            }
        });
        Self { noted, stop, thread: Some(thread) }
    }

    /// What a part may have lost in this time to everything else: of a hundred delays all but one
    /// were shorter, and it may have met with one at each step.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let meanwhile = noted.iter().filter(|late| from <= late.at && late.at - late.by <= to);
        let mut delays: Vec<_> = meanwhile.map(|late| late.by).collect();
        delays.sort_unstable();
        let at = (delays.len() * 99).div_ceil(100).saturating_sub(1);
        delays.get(at).copied().unwrap_or_default() * HOPS
    }
}

impl Drop for Unrest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// Only what happened in a time counts for it.
#[test]
fn unrest_is_that_of_its_time() {
    let unrest = Unrest::watch();
    let start = Instant::now();
    let (near, far) = (Duration::from_millis(500), Duration::from_secs(1));
    *unrest.noted.lock().expect("no panic") =
        vec![Late { at: start + near, by: near / 2 }, Late { at: start + far, by: near }];
    assert_eq!(unrest.between(start, start + near / 2), near / 2 * HOPS);
    assert_eq!(unrest.between(start, start + far), near * HOPS);
    assert_eq!(unrest.between(start + far * 2, start + far * 3), Duration::ZERO);
}
