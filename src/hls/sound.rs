use crate::media::AudioConfig;

/// How slowly a measured error is believed: single late stamps are noise, a trend is drift.
const SMOOTHING: i64 = 16;
/// Frames that must be missing before time jumps at once instead of drifting.
const LOST_FRAMES: i64 = 2;

/// The clock of an audio track, counting samples.
///
/// RTMP stamps frames in milliseconds, but a frame of 1024 samples is 21.333 ms: durations are
/// taken from the count, so they are exact and nothing is rounded twice. The stamps keep the
/// count honest: once it is half a frame off, it is moved by that much (R27), less than a frame
/// at a time, so sound and picture never drift apart (H58).
#[derive(Debug)]
pub(super) struct SoundClock {
    /// Samples in a frame, where the codec fixes it.
    fixed: Option<i64>,
    /// Samples in the newest frame, or what we expect of the first.
    length: i64,
    /// Start and end of the newest frame, in samples.
    newest: Option<(i64, i64)>,
    /// How late stamps are against the count, smoothed, times [`SMOOTHING`].
    error: i64,
}

impl SoundClock {
    pub(super) fn new(config: &AudioConfig) -> Self {
        let fixed = config.samples_per_frame.filter(|&samples| samples != 0).map(i64::from);
        let usual = i64::from(config.sample_rate / 50).max(1); // 20 ms
        Self { fixed, length: fixed.unwrap_or(usual), newest: None, error: 0 }
    }

    /// Where the frame stamped `stamp` starts, in samples.
    pub(super) fn place(&mut self, stamp: i64) -> i64 {
        let start = match (self.newest, self.fixed) {
            (None, _) => stamp,
            (Some((last, end)), Some(length)) => self.corrected(stamp, end, length).max(last + 1),
            (Some((last, _)), None) => {
                let start = stamp.max(last.saturating_add(1));
                self.length = start - last;
                start
            }
        };
        self.newest = Some((start, start.saturating_add(self.length)));
        start
    }

    /// Samples the next frame is expected to have.
    pub(super) const fn length(&self) -> i64 {
        self.length
    }

    /// The counted start, moved when the stamps insist.
    fn corrected(&mut self, stamp: i64, counted: i64, length: i64) -> i64 {
        let late = stamp.saturating_sub(counted);
        if length * LOST_FRAMES < late.saturating_abs() {
            self.error = 0;
            return stamp;
        }
        self.error += late - self.error / SMOOTHING;
        let smoothed = self.error / SMOOTHING;
        if smoothed.abs() * 2 <= length {
            return counted;
        }
        self.error = 0;
        counted + smoothed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::base::MediaTime;
    use crate::media::AudioCodec;

    fn aac(samples_per_frame: Option<u32>) -> AudioConfig {
        AudioConfig {
            codec: AudioCodec::Aac,
            record: Bytes::new(),
            codec_string: "mp4a.40.2".into(),
            sample_rate: 48_000,
            channels: 2,
            samples_per_frame,
        }
    }

    /// Places frames whose real length is `length` samples and whose stamps are milliseconds.
    fn place(clock: &mut SoundClock, frame: i64, length: f64) -> (i64, i64) {
        let millis = i64::try_from(
            Duration::from_secs_f64(f64::from(i32::try_from(frame).unwrap()) * length / 48_000.0)
                .as_millis(),
        )
        .unwrap();
        let stamp = MediaTime::from_millis(millis).to_ticks(48_000);
        (clock.place(stamp), stamp)
    }

    #[test]
    fn frames_follow_each_other_to_the_sample() {
        let mut clock = SoundClock::new(&aac(Some(1024)));
        for frame in 0..10_000 {
            assert_eq!(place(&mut clock, frame, 1024.0).0, frame * 1024);
        }
    }

    #[test]
    fn drift_is_corrected_below_a_frame() {
        // R27: 500 ppm fast and slow, four hours.
        for length in [1024.0 * 1.0005, 1024.0 * 0.9995] {
            let mut clock = SoundClock::new(&aac(Some(1024)));
            let mut last = -1024;
            for frame in 0..675_000 {
                let (start, stamp) = place(&mut clock, frame, length);
                assert!((start - stamp).abs() < 1024, "within a frame");
                assert!((500..=1548).contains(&(start - last)), "steps of half a frame");
                last = start;
            }
        }
    }

    #[test]
    fn lost_frames_leave_a_hole_of_their_length() {
        let mut clock = SoundClock::new(&aac(Some(1024)));
        place(&mut clock, 0, 1024.0);
        let (start, stamp) = place(&mut clock, 10, 1024.0);
        assert_eq!(start, stamp);
    }

    #[test]
    fn without_a_fixed_length_the_stamps_decide() {
        let mut clock = SoundClock::new(&aac(None));
        assert_eq!((clock.place(0), clock.length()), (0, 960));
        assert_eq!((clock.place(480), clock.length()), (480, 480));
        assert_eq!(clock.place(480), 481, "H55: never back, never still");
    }
}
