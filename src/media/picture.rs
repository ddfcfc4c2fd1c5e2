use super::config_error::ConfigError;

/// Slowest and fastest frame rate we believe, a second. Outside it the field holds something
/// else, and a false FRAME-RATE is worse than none.
const RATE_RANGE: std::ops::RangeInclusive<f64> = 1.0..=300.0;
/// Fastest rate we believe without the stream's promise that it is fixed.
const UNPROMISED_RATE_MAX: u32 = 120;

/// A whole picture in luma samples and what its cropping window takes away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Left plus right, in luma samples.
    pub(super) crop_width: u32,
    /// Top plus bottom, in luma samples.
    pub(super) crop_height: u32,
}

impl Picture {
    /// The size that is shown, in pixels.
    pub(super) fn shown(&self, record: &'static str) -> Result<(u16, u16), ConfigError> {
        let side = |field, whole: u32, crop: u32| {
            let shown = whole.saturating_sub(crop);
            let bad = ConfigError::Value { record, field, value: shown };
            u16::try_from(shown).ok().filter(|&side| side > 0).ok_or(bad)
        };
        Ok((
            side("width", self.width, self.crop_width)?,
            side("height", self.height, self.crop_height)?,
        ))
    }
}

/// A frame rate as a reduced fraction, where it can be true.
pub(super) fn frame_rate(frames: u64, seconds: u64) -> Option<(u32, u32)> {
    let divisor = gcd(frames, seconds);
    if divisor == 0 {
        return None;
    }
    let frames = u32::try_from(frames / divisor).ok()?;
    let seconds = u32::try_from(seconds / divisor).ok()?;
    let rate = f64::from(frames) / f64::from(seconds);
    RATE_RANGE.contains(&rate).then_some((frames, seconds))
}

/// The same where the stream names a rate without promising to keep it, as x264 does under
/// FFmpeg: only whole rates and their NTSC kin count. Anything else is a clock, not a rate.
pub(super) fn unpromised_frame_rate(frames: u64, seconds: u64) -> Option<(u32, u32)> {
    frame_rate(frames, seconds).filter(|&(frames, seconds)| match seconds {
        1 => frames <= UNPROMISED_RATE_MAX,
        1_001 => frames % 1_000 == 0 && frames <= UNPROMISED_RATE_MAX * 1_000,
        _ => false,
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_believable_rates() {
        assert_eq!(frame_rate(60_000, 2_002), Some((30_000, 1_001)));
        assert_eq!(frame_rate(50, 2), Some((25, 1)));
        assert_eq!(frame_rate(90_000, 1), None);
        assert_eq!(frame_rate(1, 90_000), None);
        assert_eq!(frame_rate(0, 0), None);
        assert_eq!(frame_rate(30, 0), None);
        assert_eq!(frame_rate(162, 1), Some((162, 1)));
        assert_eq!(unpromised_frame_rate(162, 1), None);
        assert_eq!(unpromised_frame_rate(60, 2), Some((30, 1)));
        assert_eq!(unpromised_frame_rate(60_000, 2_002), Some((30_000, 1_001)));
        assert_eq!(unpromised_frame_rate(90_000, 3_003), Some((30_000, 1_001)));
        assert_eq!(unpromised_frame_rate(1_000, 33), None);
    }
}
