use std::collections::VecDeque;
use std::time::Duration;

/// How much media a broadcast has carried so far, and how dense the densest of it was. What has
/// left the playlist still counts: a rate that is announced to players is one of the broadcast,
/// not of its last half minute (draft-pantos-hls-rfc8216bis 4.4.6.2; H62).
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    bytes: u128,
    length: Duration,
    /// Bits a second.
    peak: u64,
    /// The newest segments: all but the oldest are no longer together than a run may be.
    run: VecDeque<(usize, Duration)>,
}

impl Flow {
    /// Counts a whole segment with media. The peak is the greatest rate of a run of half a target to
    /// one and a half (draft-pantos-hls-rfc8216bis 4.1): a segment much shorter counts with those
    /// before it.
    pub(super) fn add(&mut self, bytes: usize, length: Duration, target: Duration) {
        self.bytes += u128::try_from(bytes).unwrap_or(0);
        self.length += length;
        self.run.push_back((bytes, length));
        let (mut sum, mut lasts, mut fitting) = (0, Duration::ZERO, 0);
        for (bytes, length) in self.run.iter().rev() {
            sum += bytes;
            lasts += *length;
            if lasts * 2 > target * 3 {
                break;
            }
            fitting += 1;
            if lasts * 2 >= target {
                self.peak = self.peak.max(bits_per_second(sum, lasts).unwrap_or(0));
            }
        }
        while self.run.len() > fitting + 1 {
            self.run.pop_front();
        }
    }

    /// The greatest rate of such a run, in bits a second; 0 before there is one.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// The mean rate, in bits a second.
    pub(super) fn average(&self) -> Option<u64> {
        rate(self.bytes, self.length)
    }
}

/// None for nothing in no time.
pub(super) fn bits_per_second(bytes: usize, length: Duration) -> Option<u64> {
    rate(u128::try_from(bytes).ok()?, length)
}

fn rate(bytes: u128, length: Duration) -> Option<u64> {
    u64::try_from((bytes * 8 * 1_000_000).checked_div(length.as_micros())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H62: the peak is that of runs of about a target, short segments beside whole ones included.
    #[test]
    fn the_peak_is_that_of_runs_of_about_a_target() {
        let target = Duration::from_secs(2);
        // Milliseconds and kilobits a second of each segment, and the peak.
        for (segments, peak) in [
            (&[(500, 1_000)][..], 0),
            (&[(500, 1_000), (500, 2_000)], 1_500),
            (&[(500, 4_000), (2_000, 1_000)], 1_600),
            (&[(2_000, 1_000), (400, 4_000)], 1_500),
            (&[(1_000, 900), (2_000, 300), (1_000, 900)], 900),
            (&[(2_000, 1_000), (2_000, 3_000), (2_000, 2_000)], 3_000),
        ] {
            let mut flow = Flow::default();
            for (millis, kilobits) in segments {
                let bytes = usize::try_from(millis * kilobits / 8).unwrap();
                flow.add(bytes, Duration::from_millis(*millis), target);
                assert!(flow.run.len() < 5, "{segments:?}");
            }
            assert_eq!(flow.peak(), peak * 1_000, "{segments:?}");
        }
    }
}
