use std::fmt;
use std::time::Duration;

use crate::base::MediaTime;
use crate::media::{Frame, TrackKind};

/// Above this the latency and the start of playback suffer.
const KEYFRAME_INTERVAL_MAX: Duration = Duration::from_secs(4);
/// Rates that cameras and encoders are set to, in thousandths of a frame a second.
const USUAL_RATES: &[u32] = &[
    10_000, 12_500, 15_000, 20_000, 23_976, 24_000, 25_000, 29_970, 30_000, 48_000, 50_000, 59_940,
    60_000, 90_000, 100_000, 119_880, 120_000,
];

/// Frames after which a first guess of their rate is made, before a GOP is over.
const GUESS_FRAMES_MIN: u32 = 5;
/// Times come in whole milliseconds: as much as this a step may be off, and a sum of steps.
const TIME_GRAIN: Duration = Duration::from_millis(1);

/// What the broadcaster could set better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Keyframes are further apart than segments are meant to be long.
    KeyframeInterval { measured: Duration, wanted: Duration },
}

impl Advice {
    /// A stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyframeInterval { .. } => "keyframe_interval",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyframeInterval { measured, wanted } => {
                let (measured, wanted) = (measured.as_secs_f64(), wanted.as_secs_f64());
                write!(f, "keyframe interval {measured:.1} s, set {wanted:.0} s")
            }
        }
    }
}

/// Watches the rhythm of a broadcast's video: how far keyframes are apart and how many frames
/// come a second.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    run: u32,
    keyframe: Option<MediaTime>,
    frames: u32,
    interval: Option<Duration>,
    rate_millis: Option<u32>,
    /// The newest frame of the open GOP, and the shortest and longest steps between its frames.
    last: Option<MediaTime>,
    steps: Option<(Duration, Duration)>,
    /// Said until the first GOP is over, of whatever run.
    guess_millis: Option<u32>,
    has_whole_gop: bool,
}

impl Pulse {
    pub(super) fn observe(&mut self, frame: &Frame) {
        if frame.track != TrackKind::Video {
            return;
        }
        if self.run != frame.run {
            *self = Self {
                run: frame.run,
                rate_millis: self.rate_millis,
                guess_millis: self.guess_millis,
                has_whole_gop: self.has_whole_gop,
                ..Self::default()
            };
        }
        let since = self.keyframe.map(|keyframe| (frame.dts - keyframe).to_duration());
        if frame.keyframe {
            if let Some(since) = since.filter(|since| !since.is_zero()) {
                self.interval = Some(since);
                self.rate_millis = rate(self.frames, since).or(self.rate_millis);
                (self.guess_millis, self.has_whole_gop) = (None, true);
            }
            self.keyframe = Some(frame.dts);
            (self.frames, self.last, self.steps) = (0, None, None);
        } else if let Some(since) = since
            && since > self.interval.unwrap_or(KEYFRAME_INTERVAL_MAX)
        {
            self.interval = Some(since);
        }
        self.frames += 1;
        let step = self.last.replace(frame.dts).map(|last| (frame.dts - last).to_duration());
        if let Some(step) = step {
            let (short, long) = self.steps.unwrap_or((step, step));
            self.steps = Some((short.min(step), long.max(step)));
        }
        if !self.has_whole_gop {
            self.guess_millis = self.guess(frame.dts).or(self.guess_millis);
        }
    }

    /// The rate of the frames since the keyframe, where they come so regularly that it is plain.
    fn guess(&self, now: MediaTime) -> Option<u32> {
        let (short, long) = self.steps?;
        if self.frames < GUESS_FRAMES_MIN || long > short + 2 * TIME_GRAIN {
            return None;
        }
        fitting(self.frames - 1, (now - self.keyframe?).to_duration())
    }

    /// Thousandths of a frame a second over the last GOP, where it is one of the usual rates; of
    /// the first frames, while there is none.
    pub(super) fn rate_millis(&self) -> Option<u32> {
        self.rate_millis.or(self.guess_millis)
    }

    pub(super) fn advice(&self, wanted: Duration) -> Vec<Advice> {
        let long = self.interval.filter(|interval| *interval > KEYFRAME_INTERVAL_MAX.max(wanted));
        long.map(|measured| Advice::KeyframeInterval { measured, wanted }).into_iter().collect()
    }
}

/// The usual rate nearest to what was counted, if one is within one in two hundred: times come in
/// whole milliseconds, so a short GOP cannot tell 29.97 from 30 and the stated rate goes first.
fn rate(frames: u32, length: Duration) -> Option<u32> {
    let micros = u64::try_from(length.as_micros()).ok()?;
    let counted = u64::from(frames).checked_mul(1_000_000_000)?.checked_div(micros)?;
    let counted = u32::try_from(counted).ok()?;
    let nearest = USUAL_RATES.iter().copied().min_by_key(|rate| rate.abs_diff(counted))?;
    (nearest.abs_diff(counted) <= nearest / 200).then_some(nearest)
}

/// The fastest usual rate at which so many frames last so long, as far as whole milliseconds tell:
/// what is stated is the greatest rate (draft-pantos-hls-rfc8216bis 4.4.6.2).
fn fitting(frames: u32, length: Duration) -> Option<u32> {
    let expected = |rate: u32| {
        let micros = (u64::from(frames) * 1_000_000_000).checked_div(u64::from(rate));
        Duration::from_micros(micros.unwrap_or(u64::MAX))
    };
    USUAL_RATES.iter().copied().rev().find(|rate| expected(*rate).abs_diff(length) <= TIME_GRAIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::media::Format;

    /// Feeds `gops` GOPs of `frames` frames that are `micros` apart.
    fn pulse(gops: u32, frames: u32, micros: i64) -> Pulse {
        let mut pulse = Pulse::default();
        for n in 0..gops * frames {
            let dts = MediaTime::from_millis(i64::from(n) * micros / 1_000);
            pulse.observe(&frame(dts, n % frames == 0));
        }
        pulse
    }

    fn frame(dts: MediaTime, keyframe: bool) -> Frame {
        Frame {
            track: TrackKind::Video,
            dts,
            pts: dts,
            keyframe,
            run: 0,
            format: Arc::new(Format { video: None, audio: None }),
            payload: Bytes::new(),
        }
    }

    const WANTED: Duration = Duration::from_secs(2);

    #[test]
    fn a_long_keyframe_interval_is_told() {
        let advice = pulse(3, 250, 33_333).advice(WANTED);
        let texts: Vec<_> = advice.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["keyframe interval 8.3 s, set 2 s"]);
        assert_eq!(pulse(3, 60, 33_333).advice(WANTED), []);
    }

    #[test]
    fn an_open_gop_is_told_before_it_ends() {
        assert_eq!(pulse(1, 100, 33_333).advice(WANTED), []);
        assert_eq!(pulse(1, 150, 33_333).advice(WANTED).len(), 1);
    }

    // H61: what was only guessed is not said any more once a GOP says otherwise, and no break makes
    // a measurement of it.
    #[test]
    fn a_guess_does_not_outlive_the_first_gop() {
        let mut pulse = pulse(1, 20, 40_000);
        assert_eq!(pulse.rate_millis(), Some(25_000));
        let begin = |run, millis, keyframe| Frame {
            run,
            ..frame(MediaTime::from_millis(millis), keyframe)
        };
        pulse.observe(&begin(1, 2_000, true));
        assert_eq!(pulse.rate_millis(), Some(25_000));
        for millis in [2_040, 2_300, 2_310, 2_900] {
            pulse.observe(&begin(1, millis, false));
        }
        pulse.observe(&begin(1, 3_000, true));
        assert_eq!(pulse.rate_millis(), None, "5 frames in a second");
        for n in 1..20 {
            pulse.observe(&begin(1, 3_000 + n * 40, false));
            assert_eq!(pulse.rate_millis(), None);
        }
    }

    // H61: a usual rate is recognised from times in milliseconds.
    #[test]
    fn a_usual_rate_is_recognised_from_millisecond_times() {
        for (frames, micros, rate) in
            [(60, 33_333, Some(30_000)), (120, 16_667, Some(60_000)), (50, 40_000, Some(25_000))]
        {
            assert_eq!(pulse(3, frames, micros).rate_millis(), rate);
        }
        assert_eq!(pulse(3, 60, 27_000).rate_millis(), None, "37 frames a second are unusual");
    }

    // H61: the rate is stated from the first part on, before a GOP is over.
    #[test]
    fn a_regular_rate_is_guessed_from_the_first_frames() {
        for (micros, rate) in [
            (33_333, Some(30_000)),
            (33_367, Some(30_000)),
            (40_000, Some(25_000)),
            (41_667, Some(24_000)),
            (16_667, Some(60_000)),
            (20_000, Some(50_000)),
            (66_667, Some(15_000)),
            (8_333, Some(120_000)),
            (27_000, None),
        ] {
            for frames in [5, 7, 12, 30] {
                assert_eq!(pulse(1, frames, micros).rate_millis(), rate, "{micros}, {frames}");
            }
            assert_eq!(pulse(1, 4, micros).rate_millis(), None, "four frames tell little");
        }
        assert_eq!(pulse(3, 60, 33_367).rate_millis(), Some(29_970), "counted over a whole GOP");
    }

    // H61: frames that come irregularly have no rate that could be stated.
    #[test]
    fn no_rate_is_guessed_of_irregular_frames() {
        let mut pulse = Pulse::default();
        for (n, millis) in [0, 20, 67, 100, 133, 167, 200].into_iter().enumerate() {
            pulse.observe(&frame(MediaTime::from_millis(millis), n == 0));
            assert_eq!(pulse.rate_millis(), None, "{millis}");
        }
    }
}
