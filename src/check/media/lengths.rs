use std::collections::BTreeMap;

use super::clip::in_micros;

/// Lengths that differ by less count together: this many microseconds.
const STEP_MICROS: i64 = 100;
/// Longer pictures are all the same to a frame rate.
const LONGEST_MICROS: i64 = 1_000_000;
/// A length must be that of one picture in so many, together with the shorter ones: one that was
/// cut short is an accident.
const ONE_IN: u64 = 20;

/// So many pictures of a segment, and more, have a usual length.
const PICTURES_MIN: u64 = 8;

/// How long the pictures of a stream are shown, segment after segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    all: Lengths,
    /// The usual length in the segment where it was shortest.
    fastest: Option<i64>,
}

impl Pictures {
    /// Takes in those of one segment.
    pub(super) fn take(&mut self, segment: &Lengths) {
        self.all.join(segment);
        self.fastest = self.fastest.into_iter().chain(segment.usual()).min();
    }

    /// The shortest length, in microseconds, that is no accident: one of many pictures in all, or
    /// that of a stretch, however little of the stream it is.
    pub(super) fn shortest(&self) -> Option<i64> {
        self.all.reached_by(ONE_IN).into_iter().chain(self.fastest).min()
    }
}

/// How long pictures are shown: for each step of length how many there are, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths(BTreeMap<i64, (u64, i64)>);

impl Lengths {
    /// Of pictures of so many ticks; what takes no time is none.
    pub(super) fn of(ticks: impl Iterator<Item = i64>, scale: u32) -> Self {
        let mut lengths = Self::default();
        for micros in ticks.map(|ticks| in_micros(ticks, scale)).filter(|micros| 0 < *micros) {
            let micros = micros.min(LONGEST_MICROS);
            lengths.add((micros + STEP_MICROS / 2) / STEP_MICROS, (1, micros));
        }
        lengths
    }

    fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(step, more)| self.add(*step, *more));
    }

    fn add(&mut self, step: i64, (count, sum): (u64, i64)) {
        let known = self.0.entry(step).or_default();
        *known = (known.0.saturating_add(count), known.1.saturating_add(sum));
    }

    fn count(&self) -> u64 {
        self.0.values().fold(0, |total, (count, _)| total.saturating_add(*count))
    }

    /// The length that half of many pictures do not exceed.
    fn usual(&self) -> Option<i64> {
        if self.count() < PICTURES_MIN { None } else { self.reached_by(2) }
    }

    /// The shortest length that one picture in so many does not exceed.
    fn reached_by(&self, one_in: u64) -> Option<i64> {
        let (total, mut shorter) = (self.count(), 0_u64);
        let common = self.0.values().find(|(count, _)| {
            shorter = shorter.saturating_add(*count);
            total <= shorter.saturating_mul(one_in)
        });
        common.and_then(|(count, sum)| sum.checked_div(i64::try_from(*count).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H61: the greatest frame rate is that of some pictures, and not of a single one.
    #[test]
    fn one_short_picture_is_no_frame_rate() {
        let millis = |all: &[(usize, i64)]| {
            let lengths = all.iter().flat_map(|(count, millis)| vec![*millis; *count]);
            Lengths::of(lengths, 1_000).reached_by(ONE_IN)
        };
        assert_eq!(millis(&[]), None);
        assert_eq!(millis(&[(9, 0)]), None);
        assert_eq!(millis(&[(1, 1), (59, 33)]), Some(33_000));
        assert_eq!(millis(&[(30, 33), (15, 66)]), Some(33_000));
        assert_eq!(millis(&[(3, 16), (57, 33)]), Some(16_000), "one in twenty");
        assert_eq!(millis(&[(1, 15), (1, 16), (1, 17), (57, 33)]), Some(17_000), "or so");
        assert_eq!(millis(&[(2, 9_000)]), Some(LONGEST_MICROS));
        let mut many = Lengths::of([3_003; 5].into_iter(), 90_000);
        (0..9).for_each(|_| many.join(&Lengths::of([90, 3_003, 3_003, 3_003].into_iter(), 90_000)));
        assert_eq!(many.reached_by(ONE_IN), Some(1_000), "9 of 41");
        many.join(&Lengths::of([3_003; 200].into_iter(), 90_000));
        assert_eq!(many.reached_by(ONE_IN), Some(33_366), "9 of 241");
    }

    /// H61: seconds of a higher rate within an hour make it the greatest; a short picture in every
    /// segment, or a few pictures before a break, do not.
    #[test]
    fn a_stretch_of_a_higher_rate_counts_however_short() {
        let segment = |ticks: &[(usize, i64)]| {
            let lengths = ticks.iter().flat_map(|(count, ticks)| vec![*ticks; *count]);
            Lengths::of(lengths, 90_000)
        };
        let slow = segment(&[(60, 3_000)]);
        for (some, shortest) in [
            (segment(&[(120, 1_500)]), 16_666),
            (segment(&[(90, 1_500), (15, 3_000)]), 16_666),
            (segment(&[(1, 90), (59, 3_000)]), 33_333),
            (segment(&[(20, 1_500), (50, 3_000)]), 33_333),
            (segment(&[(7, 90)]), 33_333),
        ] {
            let mut pictures = Pictures::default();
            (0..900).for_each(|_| pictures.take(&slow));
            pictures.take(&some);
            (0..900).for_each(|_| pictures.take(&slow));
            assert_eq!(pictures.shortest(), Some(shortest), "{some:?}");
        }
    }
}
