//! How many bytes come over one connection, compared to what it may bring.

use std::time::Duration;

use super::status::Cause;
use crate::base::{Limits, MonoTime};

/// What may come at once, as time at the limit: keyframes, and what waited for a blocked way.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// A bucket that leaks at the limit. Above the allowance the peer is read no faster than it leaks;
/// who needs that without a break for too long is let go.
#[derive(Debug)]
pub(super) struct Throttle {
    per_second_max: usize,
    excess_time_max: Duration,
    /// What came and has not leaked yet, as time at the limit.
    debt: Duration,
    at: MonoTime,
    excess_since: Option<MonoTime>,
}

/// More came than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// Read nothing for so long.
    pub(super) wait: Duration,
    /// It began with this read.
    pub(super) is_new: bool,
}

impl Throttle {
    pub(super) fn new(limits: &Limits, now: MonoTime) -> Self {
        Self {
            per_second_max: limits.ingest_bytes_per_second_max.max(1),
            excess_time_max: limits.ingest_excess_time_max,
            debt: Duration::ZERO,
            at: now,
            excess_since: None,
        }
    }

    /// Counts what was read.
    pub(super) fn handle_read(
        &mut self,
        bytes: usize,
        now: MonoTime,
    ) -> Result<Option<Excess>, Cause> {
        self.debt = self.debt.saturating_sub(now.since(self.at)) + self.time_of(bytes);
        self.at = now;
        // A moment's relief, as of a peer that fills its buffers again, ends no excess.
        if self.debt < ALLOWANCE / 2 {
            self.excess_since = None;
        }
        if self.debt <= ALLOWANCE {
            return Ok(None);
        }
        let is_new = self.excess_since.is_none();
        let since = *self.excess_since.get_or_insert(now);
        if now.since(since) >= self.excess_time_max {
            return Err(Cause::TooManyBytes { max: self.per_second_max });
        }
        Ok(Some(Excess { wait: self.debt - ALLOWANCE, is_new }))
    }

    /// How long these bytes take at the limit.
    fn time_of(&self, bytes: usize) -> Duration {
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let nanos = wide(bytes).saturating_mul(1_000_000_000) / wide(self.per_second_max);
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16 * 1024 * 1024;

    /// Sends at `per_second` for so long, as fast as it is read; how long that took, and the end.
    fn send(per_second: usize, seconds: u32) -> (Duration, Result<(), Cause>) {
        let mut throttle = Throttle::new(&Limits::default(), MonoTime::ZERO);
        let (mut sent_at, mut read_at) = (Duration::ZERO, Duration::ZERO);
        let mut news = 0;
        while sent_at < Duration::from_secs(seconds.into()) {
            sent_at += Duration::from_millis(10);
            read_at = read_at.max(sent_at);
            match throttle.handle_read(per_second / 100, MonoTime::from_start(read_at)) {
                Ok(None) => {}
                Ok(Some(excess)) => {
                    read_at += excess.wait;
                    news += u32::from(excess.is_new);
                }
                Err(cause) => return (read_at, Err(cause)),
            }
        }
        assert!(news <= 1, "told once, not {news} times");
        (read_at, Ok(()))
    }

    #[test]
    fn a_peer_at_the_limit_is_never_slowed() {
        for megabits in [50, 100, 134] {
            let (took, end) = send(megabits * 1_000_000 / 8, 300);
            assert_eq!((took, end), (Duration::from_secs(300), Ok(())), "{megabits} Mbit/s");
        }
    }

    #[test]
    fn a_peer_above_the_limit_is_slowed_to_it_then_let_go() {
        let (took, end) = send(2 * MAX, 20);
        // 40 s of transfer, of which 2 s came at once.
        assert_eq!((took.as_secs(), end), (38, Ok(())));
        let (took, end) = send(2 * MAX, 300);
        assert_eq!(end, Err(Cause::TooManyBytes { max: MAX }));
        // 2 s until the allowance is used up, and the excess itself.
        assert!((60..=63).contains(&took.as_secs()), "{took:?}");
    }

    #[test]
    fn a_burst_after_a_stall_is_worked_off() {
        let mut throttle = Throttle::new(&Limits::default(), MonoTime::ZERO);
        let at = |millis| MonoTime::from_start(Duration::from_millis(millis));
        assert_eq!(throttle.handle_read(2 * MAX, at(0)), Ok(None));
        let excess = throttle.handle_read(MAX / 2, at(0)).unwrap().unwrap();
        assert_eq!((excess.wait, excess.is_new), (Duration::from_millis(500), true));
        // At half the limit it is forgiven, and a later excess is a new one.
        for second in 1..100 {
            assert_eq!(throttle.handle_read(MAX / 2, at(second * 1_000)), Ok(None), "{second}");
        }
        let excess = throttle.handle_read(3 * MAX, at(100_000)).unwrap().unwrap();
        assert!(excess.is_new);
    }
}
