use std::time::Duration;

use crate::base::{MediaTime, MonoTime};

/// Before the time at which a frame is expected, a lull ends.
const MARGIN: Duration = Duration::from_millis(10);
/// A shorter one is not worth a timer.
const LENGTH_MIN: Duration = Duration::from_millis(20);
/// How fast the earliness of a frame is forgotten: this part of it with each later one.
const FORGOTTEN: u32 = 64;

/// How the frames of a publication lie in time: each comes some time after its place on the
/// timeline, and the earliest of late says when the next ones may be expected. An encoder that
/// gets earlier is believed at once, one that gets later over a few seconds: expecting a frame too
/// early costs a look, too late delays what viewers wait for.
#[derive(Debug, Default)]
pub(super) struct Lull {
    /// When media time zero would have come, had it come like the earliest frame of late.
    zero: Option<MediaTime>,
}

impl Lull {
    /// A frame with this decode time came.
    pub(super) fn observe(&mut self, dts: MediaTime, now: MonoTime) {
        let zero = MediaTime::from(now.since_start()) - dts;
        let earliest = self.zero.map_or(zero, |earliest| {
            let forgotten = (zero - earliest).as_micros() / i64::from(FORGOTTEN);
            zero.min(earliest + MediaTime::from_micros(forgotten))
        });
        self.zero = Some(earliest);
    }

    /// Until when nothing that is decoded at `due` or later is expected.
    pub(super) fn until(&self, due: MediaTime, now: MonoTime) -> Option<MonoTime> {
        let expected = MonoTime::from_start((self.zero? + due).to_duration());
        (now + LENGTH_MIN + MARGIN <= expected)
            .then(|| MonoTime::from_start(expected.since_start() - MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(millis))
    }

    /// Frames of 25 a second, each as late as `late` says.
    fn lull(late: impl Fn(u64) -> u64, frames: u64) -> Lull {
        let mut lull = Lull::default();
        for frame in 0..frames {
            let dts = MediaTime::from_millis(i64::try_from(frame * 40).unwrap());
            lull.observe(dts, at(1_000 + frame * 40 + late(frame)));
        }
        lull
    }

    #[test]
    fn a_lull_lasts_until_a_little_before_the_frame_that_is_due() {
        let lull = lull(|_| 0, 10);
        let until = |due, now| lull.until(MediaTime::from_millis(due), at(now));
        assert_eq!(until(600, 1_360), Some(at(1_590)));
        assert_eq!(until(600, 1_570), Some(at(1_590)));
        assert_eq!(until(600, 1_571), None, "not worth it");
        assert_eq!(until(600, 1_700), None, "over");
        assert_eq!(until(-1_000, 1_360), None);
        assert_eq!(Lull::default().until(MediaTime::ZERO, at(0)), None);
    }

    #[test]
    fn jitter_counts_by_its_earliest() {
        let lull = lull(|frame| [0, 30, 12, 25][usize::try_from(frame % 4).unwrap()], 400);
        let until = lull.until(MediaTime::from_millis(16_200), at(17_000)).unwrap();
        let expected = at(17_190);
        assert!(expected <= until && until <= expected + Duration::from_millis(3), "{until:?}");
    }

    #[test]
    fn an_encoder_that_gets_later_is_believed_after_seconds() {
        let due = MediaTime::from_millis(20_200);
        let of = |frames| lull(|frame| if frame < 400 { 0 } else { 100 }, frames).until(due, at(0));
        assert!(of(405).unwrap() < at(21_200), "the old time still counts");
        assert!(at(21_280) < of(600).unwrap());
    }

    /// Who slept too long sees frames that were there before, and they count as they are found.
    #[test]
    fn an_encoder_that_gets_earlier_is_believed_at_once() {
        let lull = lull(|frame| if frame < 400 { 100 } else { 0 }, 401);
        assert_eq!(lull.until(MediaTime::from_millis(16_200), at(17_000)), Some(at(17_190)));
    }
}
