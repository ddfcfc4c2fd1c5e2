use std::time::Duration;

/// How much media a broadcast has carried so far, and how dense the densest of it was. What has
/// left the playlist still counts: a rate that is announced to players is one of the broadcast,
/// not of its last half minute (draft-pantos-hls-rfc8216bis 4.4.6.2; H62).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    bytes: u128,
    length: Duration,
    /// Bits a second.
    peak: u64,
}

impl Flow {
    /// Counts a whole segment with media. One much shorter than the target says little about the
    /// peak.
    pub(super) fn add(&mut self, bytes: usize, length: Duration, target: Duration) {
        self.bytes += u128::try_from(bytes).unwrap_or(0);
        self.length += length;
        if length * 2 >= target {
            self.peak = self.peak.max(bits_per_second(bytes, length).unwrap_or(0));
        }
    }

    /// The greatest rate of a segment, in bits a second; 0 before there is one.
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
