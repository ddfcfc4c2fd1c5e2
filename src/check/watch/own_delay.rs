//! How long this program itself stood still: on a busy machine, or stopped and continued. What
//! seems late meanwhile is no fault of a server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often the clock is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Timers are coarse: less than this is no delay.
const DELAY_MIN: Duration = Duration::from_millis(10);

/// A look at the clock that is due again and again, and what it was late in all.
#[derive(Debug)]
pub(super) struct OwnDelay(Mutex<Looks>);

#[derive(Debug)]
struct Looks {
    due: Instant,
    late: Duration,
}

impl OwnDelay {
    pub(super) fn since(begun: Instant) -> Self {
        Self(Mutex::new(Looks { due: begun + LOOK_INTERVAL, late: Duration::ZERO }))
    }

    /// Looks at the clock for ever.
    pub(super) async fn run(&self) {
        loop {
            let due = self.looks().due;
            sleep_until(due).await;
            self.looks().look(Instant::now());
        }
    }

    /// Now, and all the time lost by now.
    pub(super) fn now(&self) -> (Instant, Duration) {
        let (now, looks) = (Instant::now(), self.looks());
        (now, looks.late + looks.missed(now))
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    fn look(&mut self, now: Instant) {
        self.late += self.missed(now);
        self.due = now + LOOK_INTERVAL;
    }

    /// How long the look that is due has been missed.
    fn missed(&self, now: Instant) -> Duration {
        let late = now.saturating_duration_since(self.due);
        if late < DELAY_MIN { Duration::ZERO } else { late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What was missed counts from the moment it was due, whoever runs first afterwards.
    #[tokio::test(start_paused = true)]
    async fn time_lost_is_known_before_and_after_the_next_look() {
        let own = OwnDelay::since(Instant::now());
        let running = async {
            tokio::time::sleep(SECOND).await;
            assert_eq!(own.now().1, Duration::ZERO);
            // The whole program stands still; nobody has looked since.
            tokio::time::advance(SECOND * 3).await;
            let (_, lost) = own.now();
            assert!(SECOND * 3 - LOOK_INTERVAL <= lost && lost <= SECOND * 3, "{lost:?}");
            tokio::time::sleep(SECOND).await;
            let (_, later) = own.now();
            assert!(later.abs_diff(lost) <= LOOK_INTERVAL, "{lost:?} and {later:?}");
        };
        tokio::select! {
            () = own.run() => {}
            () = running => {}
        }
    }
}
