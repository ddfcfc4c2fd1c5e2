use crate::base::MediaTime;

/// An error of this much, lasting, is worth a correction: 1/100 s.
const LASTING_PER_SECOND: i64 = 100;
/// An error of this much at once is no jitter: 1/25 s, the most audio may ever be off.
const SUDDEN_PER_SECOND: i64 = 25;
/// Frames over which the error is averaged; the jitter of millisecond stamps is gone by then.
const AVERAGED_FRAMES: i64 = 32;

/// Puts audio frames on their sample grid: each starts where the one before ended, whatever the
/// millisecond rounding of the stamps says. Where the stamps drift away from the count of
/// samples, the grid is moved after them, by less than half a frame at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Samples a second.
    rate: u32,
    /// Where the next frame starts, in samples.
    next: i64,
    /// Average of stamp minus grid, in samples times [`AVERAGED_FRAMES`].
    drift: i64,
}

impl Grid {
    pub(super) fn starting_at(start: MediaTime, rate: u32) -> Self {
        Self { rate, next: start.to_ticks(rate), drift: 0 }
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Where the next frame starts if nothing moves the grid.
    pub(super) fn next(&self) -> MediaTime {
        MediaTime::from_ticks(self.next, self.rate)
    }

    /// The start of a frame of `samples` whose stamp carries no news.
    pub(super) fn follow(&mut self, samples: u32) -> MediaTime {
        let start = self.next();
        self.next = self.next.saturating_add(i64::from(samples));
        start
    }

    /// The start of a frame of `samples` that is stamped `stamp`. Never less than half a frame
    /// behind the last start; later by any length, because audio can be missing.
    pub(super) fn place(&mut self, stamp: MediaTime, samples: u32) -> MediaTime {
        let rate = i64::from(self.rate);
        let error = stamp.to_ticks(self.rate).saturating_sub(self.next);
        if error > rate / SUDDEN_PER_SECOND {
            *self = Self::starting_at(stamp, self.rate);
            return self.follow(samples);
        }
        let half_frame = i64::from(samples / 2);
        if error < -(rate / SUDDEN_PER_SECOND) {
            self.next = self.next.saturating_sub(half_frame);
            self.drift = 0;
            return self.follow(samples);
        }
        self.drift = self.drift.saturating_add(error - self.drift / AVERAGED_FRAMES);
        let average = self.drift / AVERAGED_FRAMES;
        if average.abs() > rate / LASTING_PER_SECOND {
            let step = average.clamp(-half_frame, half_frame);
            self.next = self.next.saturating_add(step);
            self.drift -= step * AVERAGED_FRAMES;
        }
        self.follow(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts, in samples, of 1,024-sample frames at 48 kHz whose stamps `stamp` makes of the
    /// true time in microseconds.
    fn starts(frames: i64, stamp: impl Fn(i64, i64) -> i64) -> Vec<i64> {
        let mut grid = Grid::starting_at(MediaTime::ZERO, 48_000);
        (0..frames)
            .map(|n| {
                let true_time = MediaTime::from_ticks(n * 1_024, 48_000).as_micros();
                let stamp = MediaTime::from_micros(stamp(n, true_time));
                grid.place(stamp, 1_024).to_ticks(48_000)
            })
            .collect()
    }

    // field #21, #22
    #[test]
    fn millisecond_stamps_leave_no_trace() {
        let expected: Vec<i64> = (0..10_000).map(|n| n * 1_024).collect();
        assert_eq!(starts(10_000, |_, time| time / 1_000 * 1_000), expected);
        assert_eq!(starts(10_000, |_, time| (time + 500) / 1_000 * 1_000), expected);
        // Nor do stamps that jitter by 30 ms, as of encoders that stamp on sending.
        assert_eq!(starts(10_000, |n, time| time + (n * 7_919 % 60 - 30) * 1_000), expected);
    }

    // R27: 500 ppm, both ways, for a day.
    #[test]
    fn drift_is_followed_in_small_steps() {
        const FRAMES_A_DAY: i64 = 86_400 * 48_000 / 1_024;
        for drifted in [|time: i64| time + time / 2_000, |time: i64| time - time / 2_000] {
            let starts = starts(FRAMES_A_DAY, |_, time| drifted(time) / 1_000 * 1_000);
            for (n, pair) in starts.windows(2).enumerate() {
                let step = pair[1] - pair[0];
                assert!((512..=1_536).contains(&step), "{step} at {n}");
                let n = i64::try_from(n).unwrap();
                let time = MediaTime::from_ticks(n * 1_024, 48_000).as_micros();
                let off = MediaTime::from_ticks(pair[0], 48_000).as_micros() - drifted(time);
                assert!(off.abs() < 20_000, "{off} µs at {n}");
            }
        }
    }

    #[test]
    fn missing_audio_is_a_gap_and_late_audio_catches_up() {
        let gap = starts(20, |n, time| if n < 10 { time } else { time + 500_000 });
        assert_eq!(gap[9], 9 * 1_024);
        assert_eq!(gap[10], 10 * 1_024 + 24_000);
        let early = starts(60, |n, time| if n < 10 { time } else { time - 300_000 });
        assert!(early.windows(2).all(|pair| pair[1] - pair[0] >= 512));
        let off = early[59] - (59 * 1_024 - 14_400);
        assert!(off < 48_000 / 25, "{off}");
    }
}
