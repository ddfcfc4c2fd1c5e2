use std::time::Duration;

use crate::base::MonoTime;

/// Counts what happens in windows of a fixed length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    window: Duration,
    max: u32,
    since: MonoTime,
    count: u32,
}

/// More than allowed happened in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) max: u32,
}

impl Rate {
    pub(super) fn new(max: u32, window: Duration) -> Self {
        Self { window, max, since: MonoTime::ZERO, count: 0 }
    }

    pub(super) fn count(&mut self, now: MonoTime) -> Result<(), TooMany> {
        if now.since(self.since) >= self.window {
            self.since = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        if self.count > self.max { Err(TooMany { max: self.max }) } else { Ok(()) }
    }
}
