use crate::base::MediaTime;

/// Two stamps of one track this close belong together.
const NEAR_MILLIS: i64 = 2_000;
/// Widths of the clocks senders have: FFmpeg writes 31 bits, a sender without the extended
/// timestamp 24. The full 32 wrap by arithmetic.
const NARROW_CLOCK_BITS: [u32; 2] = [31, 24];

/// Follows a 32-bit millisecond clock over its wraps (RTMP 5.3.1: serial arithmetic, as in
/// RFC 1982), 49 days 17 hours apart, and over the earlier wraps of narrower clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwrap {
    last: Option<(u32, i64)>,
}

impl Unwrap {
    /// The stamp on an endless clock, from the first one's value on.
    pub(super) fn next(&mut self, stamp: u32) -> MediaTime {
        let millis = match self.last {
            None => i64::from(stamp),
            Some((before, millis)) => {
                let step = i64::from(stamp.wrapping_sub(before).cast_signed());
                millis.saturating_add(without_narrow_wrap(step))
            }
        };
        self.last = Some((stamp, millis));
        MediaTime::from_millis(millis)
    }
}

fn without_narrow_wrap(step: i64) -> i64 {
    let wrap = NARROW_CLOCK_BITS.map(|bits| 1_i64 << bits);
    let wrapped = wrap.iter().find(|&&span| (step.abs() - span).abs() <= NEAR_MILLIS);
    wrapped.map_or(step, |span| step - step.signum() * span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(stamps: &[u32]) -> Vec<i64> {
        let mut unwrap = Unwrap::default();
        stamps.iter().map(|&stamp| unwrap.next(stamp).as_micros() / 1_000).collect()
    }

    // R11: a clock of 32 bits wraps without a jump.
    #[test]
    fn clocks_wrap_without_a_jump() {
        let start = u32::MAX - 9_999;
        let expected: Vec<i64> = (0..20).map(|n| i64::from(start) + n * 1_000).collect();
        let stamps: Vec<u32> = (0..20).map(|n| start.wrapping_add(n * 1_000)).collect();
        assert_eq!(steps(&stamps), expected);

        let wrap = 1_i64 << 31;
        assert_eq!(steps(&[0x7fff_fff0, 0x10]), [wrap - 16, wrap + 16]);
        let wrap = 1_i64 << 24;
        assert_eq!(steps(&[0xff_fff0, 0x10, 0xff_fff8]), [wrap - 16, wrap + 16, wrap - 8]);
    }

    #[test]
    fn other_jumps_stay_what_they_are() {
        assert_eq!(steps(&[0, 60_000, 0]), [0, 60_000, 0]);
        assert_eq!(steps(&[1_000, 0]), [1_000, 0]);
        assert_eq!(steps(&[0, 0xffff_ff00]), [0, -256]);
    }
}
