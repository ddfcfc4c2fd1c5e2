use std::collections::VecDeque;
use std::time::Duration;

use crate::base::MediaTime;

/// Intervals remembered: half a second at 30 frames a second.
const REMEMBERED: usize = 16;
/// Intervals seen before we believe what we measured.
const ENOUGH: usize = 4;
/// Frame rates that a bitstream may state and be believed.
const RATES: std::ops::RangeInclusive<f64> = 1.0..=300.0;

/// The usual rates, as frames over seconds. Of twins such as 30 and 29.97 only the slower stands
/// here: milliseconds cannot tell them apart, and a part target made for the slower rate is never
/// too short for the faster one.
const USUAL: &[(u32, u32)] = &[
    (5, 1),
    (10, 1),
    (12, 1),
    (25, 2),
    (15_000, 1_001),
    (20, 1),
    (24_000, 1_001),
    (25, 1),
    (30_000, 1_001),
    (48_000, 1_001),
    (50, 1),
    (60_000, 1_001),
    (90_000, 1_001),
    (100, 1),
    (120_000, 1_001),
    (144_000, 1_001),
    (240_000, 1_001),
];

/// A length of time as an exact fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    seconds: u64,
    per: u64,
}

impl Interval {
    fn of_rate((frames, seconds): (u32, u32)) -> Self {
        Self { seconds: u64::from(seconds), per: u64::from(frames) }
    }

    fn of_micros(micros: i64) -> Self {
        Self { seconds: u64::try_from(micros).unwrap_or(0).max(1), per: 1_000_000 }
    }

    /// In ticks of `timescale`, rounded to the nearest, at least one.
    pub(super) fn ticks(self, timescale: u32) -> i64 {
        let scaled = u128::from(self.seconds) * u128::from(timescale);
        let per = u128::from(self.per.max(1));
        i64::try_from((scaled + per / 2) / per).unwrap_or(i64::MAX).max(1)
    }

    fn micros(self) -> i64 {
        self.ticks(1_000_000)
    }

    /// The part target for this interval: as many whole intervals as fit into `wanted`, at least
    /// one, rounded up to a millisecond so that the frames fit for certain (H73, H74).
    fn part_target(self, wanted: Duration) -> Duration {
        let per = u128::from(self.per.max(1));
        let seconds = u128::from(self.seconds.max(1));
        let frames = (wanted.as_micros() * per / (seconds * 1_000_000)).max(1);
        let millis = (frames * seconds * 1_000).div_ceil(per);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// How regularly the frames of one track come: what the next one's time will be, as far as the
/// frames so far and the bitstream's own word can tell.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    stated: Option<Interval>,
    /// The codec fixes it: nothing is to be learned.
    fixed: bool,
    last: Option<MediaTime>,
    recent: VecDeque<i64>,
    interval: Interval,
}

impl Pace {
    /// Of a track whose frames all have `samples` at `rate` a second.
    pub(super) fn fixed(samples: u32, rate: u32) -> Self {
        let interval = Interval::of_rate((rate, samples));
        Self { stated: Some(interval), fixed: true, last: None, recent: VecDeque::new(), interval }
    }

    /// Of a track that may state a rate, in frames over seconds. Until frames say otherwise it
    /// is believed; without it we start from `guess`.
    pub(super) fn learned(stated: Option<(u32, u32)>, guess: Duration) -> Self {
        let stated = stated
            .filter(|&(frames, per)| RATES.contains(&(f64::from(frames) / f64::from(per))))
            .map(Interval::of_rate);
        let guess = Interval::of_micros(MediaTime::from(guess).as_micros());
        let interval = stated.unwrap_or(guess);
        Self { stated, fixed: false, last: None, recent: VecDeque::new(), interval }
    }

    /// A frame came, with this decode time.
    pub(super) fn observe(&mut self, dts: MediaTime) {
        let Some(last) = self.last.replace(dts) else { return };
        if self.fixed {
            return;
        }
        let delta = (dts - last).as_micros();
        if delta <= 0 {
            return;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(delta);
        self.interval = self.measure();
    }

    /// The expected time from one frame to the next.
    pub(super) const fn interval(&self) -> Interval {
        self.interval
    }

    /// Whether more frames would not change the picture much. `wanted` is the part target asked
    /// for: with few frames in it there is no time to wait for [`ENOUGH`] of them.
    pub(super) fn is_known(&self, wanted: Duration) -> bool {
        let wanted = MediaTime::from(wanted).as_micros();
        let seen: i64 = self.recent.iter().sum();
        let next_two = self.recent.back().map_or(0, |delta| delta.saturating_mul(2));
        self.fixed || ENOUGH <= self.recent.len() || wanted < seen.saturating_add(next_two)
    }

    /// PART-TARGET for this pace: whole frames where they come regularly, else `wanted`.
    pub(super) fn part_target(&self, wanted: Duration) -> Duration {
        let whole = self.interval.part_target(wanted);
        if self.is_steady() { whole } else { whole.max(wanted) }
    }

    fn is_steady(&self) -> bool {
        let usual = self.interval.micros();
        let tolerated = (usual / 4).max(3_000);
        self.fixed || self.recent.iter().all(|delta| (delta - usual).abs() <= tolerated)
    }

    /// The mean of the recent intervals, those over lost frames left out; the stated or a usual rate where
    /// it comes close to one.
    fn measure(&self) -> Interval {
        if let Some(stated) = self.stated
            && self.recent.len() < ENOUGH
        {
            return stated;
        }
        let mut sorted = [i64::MAX; REMEMBERED];
        for (slot, delta) in sorted.iter_mut().zip(&self.recent) {
            *slot = *delta;
        }
        sorted.sort_unstable();
        let median = sorted.get(self.recent.len() / 2).copied().unwrap_or(1);
        let usual = |delta: &&i64| **delta <= median.saturating_mul(3);
        let (sum, count) =
            self.recent.iter().filter(usual).fold((0, 0), |(sum, count), d| (sum + d, count + 1));
        let mean: i64 = sum / count.max(1);
        let close = |candidate: &Interval, percent: i64| {
            (candidate.micros() - mean).abs().saturating_mul(100) <= mean.saturating_mul(percent)
        };
        let usual = USUAL.iter().copied().map(Interval::of_rate);
        self.stated
            .filter(|stated| close(stated, 5))
            .or_else(|| usual.min_by_key(|c| (c.micros() - mean).abs()).filter(|c| close(c, 3)))
            .unwrap_or_else(|| Interval::of_micros(mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Duration = Duration::from_millis(250);

    /// The pace of a publisher whose clock is rounded to milliseconds, as RTMP's is.
    fn rtmp(stated: Option<(u32, u32)>, real: (u32, u32)) -> Pace {
        let mut pace = Pace::learned(stated, WANTED);
        for frame in 0..6 {
            pace.observe(rtmp_time(real, frame));
        }
        pace
    }

    fn rtmp_time((frames, seconds): (u32, u32), frame: i64) -> MediaTime {
        MediaTime::from_millis(
            (frame * i64::from(seconds) * 1_000 + i64::from(frames) / 2) / i64::from(frames),
        )
    }

    #[test]
    fn part_targets_are_whole_frames() {
        // H73, H74
        let cases = [
            ((24_000, 1_001), 209),
            ((24, 1), 250),
            ((25, 1), 240),
            ((30_000, 1_001), 234),
            ((30, 1), 234),
            ((50, 1), 240),
            ((60_000, 1_001), 234),
            ((60, 1), 250),
            ((4, 1), 250),
            ((2, 1), 500),
        ];
        for (rate, millis) in cases {
            let pace = rtmp(Some(rate), rate);
            assert!(pace.is_known(WANTED), "{rate:?}");
            assert_eq!(pace.part_target(WANTED), Duration::from_millis(millis), "{rate:?}");
        }
    }

    #[test]
    fn a_rate_is_learned_from_milliseconds() {
        for (rate, millis) in [((30, 1), 234), ((25, 1), 240), ((60, 1), 234), ((17, 1), 236)] {
            assert_eq!(rtmp(None, rate).part_target(WANTED), Duration::from_millis(millis));
        }
    }

    #[test]
    fn a_wrong_statement_is_found_out() {
        for lie in [(1_000, 1), (15, 1), (0, 1), (30, 0), (u32::MAX, 1)] {
            let pace = rtmp(Some(lie), (30, 1));
            assert_eq!(pace.part_target(WANTED), Duration::from_millis(234), "{lie:?}");
        }
    }

    #[test]
    fn irregular_frames_get_the_target_asked_for() {
        let mut pace = Pace::learned(None, WANTED);
        for millis in [0, 20, 90, 100, 210, 230] {
            pace.observe(MediaTime::from_millis(millis));
        }
        assert_eq!(pace.part_target(WANTED), WANTED);
    }

    #[test]
    fn audio_frames_have_a_fixed_length() {
        let pace = Pace::fixed(1024, 48_000);
        assert!(pace.is_known(WANTED));
        assert_eq!(pace.interval().ticks(48_000), 1024);
        assert_eq!(pace.part_target(WANTED), Duration::from_millis(235));
    }
}
