use tokio::time::Instant;

use crate::base::{Clock, MonoTime, Now, WallTime};

/// A clock that goes as the runtime's own does: in a test with paused time it stands still until
/// everybody waits, and then jumps to the next timer.
#[derive(Debug)]
pub struct RuntimeClock {
    start: Instant,
    wall: WallTime,
}

impl RuntimeClock {
    /// A clock that reads `wall` now.
    pub fn starting_at(wall: WallTime) -> Self {
        Self { start: Instant::now(), wall }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Now {
        let since = self.start.elapsed();
        Now { mono: MonoTime::from_start(since), wall: self.wall + since }
    }
}
