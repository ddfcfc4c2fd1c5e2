use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps within one doubling: a length is known to 3 %.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Longest length told apart from longer ones: 2^32 microseconds, 71 minutes.
const DOUBLINGS: u32 = 32;
const BUCKETS: usize = 32 * 28;

/// Lengths of time, counted by many at once: exact to a microsecond below 32, then to 3 %.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { buckets: std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect() }
    }

    pub(super) fn record(&self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn spread(&self) -> Spread {
        Spread(self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect())
    }
}

/// The lengths counted up to a moment. The difference of two is what came between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread(Vec<u64>);

impl Spread {
    /// How many lengths there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The length that `per_thousand` of 1,000 do not exceed; `None` without any.
    pub fn quantile(&self, per_thousand: u64) -> Option<Duration> {
        let count = self.count();
        let rank = (count * per_thousand).div_ceil(1_000).max(1);
        let mut below = 0;
        let at = self.0.iter().position(|bucket| {
            below += bucket;
            below >= rank
        })?;
        Some(Duration::from_micros(top_of(at)))
    }
}

impl Add for Spread {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (long, short) =
            if self.0.len() < other.0.len() { (other, self) } else { (self, other) };
        let more = short.0.into_iter().chain(std::iter::repeat(0));
        Self(long.0.into_iter().zip(more).map(|(one, other)| one + other).collect())
    }
}

impl Sub for Spread {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        let before = earlier.0.into_iter().chain(std::iter::repeat(0));
        Self(self.0.into_iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect())
    }
}

fn bucket_of(micros: u64) -> usize {
    let micros = micros.min((1 << DOUBLINGS) - 1);
    // Below this many microseconds each has a bucket of its own.
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let bucket = u64::from(shift) * STEPS + (micros >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The longest length that falls into a bucket.
fn top_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(micros: impl IntoIterator<Item = u64>) -> Spread {
        let histogram = Histogram::new();
        micros.into_iter().for_each(|micros| histogram.record(Duration::from_micros(micros)));
        histogram.spread()
    }

    #[test]
    fn every_length_falls_into_a_bucket_that_fits() {
        let mut last = 0;
        for micros in (0..5_000).chain((5_000..4_294_967_295).step_by(999_983)) {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS, "{micros}");
            assert!(bucket == last || bucket == last + 1 || micros > 4_000, "{micros}");
            let top = top_of(bucket);
            assert!(micros <= top && top - micros <= micros / 32, "{micros} in {bucket}: {top}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_the_length_that_so_many_do_not_exceed() {
        let spread = spread(1..=30);
        assert_eq!(spread.quantile(500), Some(Duration::from_micros(15)));
        assert_eq!(spread.quantile(990), Some(Duration::from_micros(30)));
        assert_eq!(spread.quantile(0), Some(Duration::from_micros(1)));
        assert_eq!(Spread::default().quantile(500), None);
    }

    #[test]
    fn a_difference_is_what_came_between() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_micros(7));
        let before = histogram.spread();
        histogram.record(Duration::from_micros(9));
        let between = histogram.spread() - before;
        assert_eq!((between.count(), between.quantile(500)), (1, Some(Duration::from_micros(9))));
    }
}
