use std::time::Duration;

use crate::base::{MediaTime, MonoTime};
use crate::media::Frame;

/// A new run begins no more than this before the newest frame: while one encoder takes over
/// from another both show the same moments, and what begins behind a break may be dated less than a
/// second inside what went before (draft-pantos-hls-rfc8216bis 6.2.1; H45). The rest of a second is
/// for the length that was promised to the last frame.
const OVERLAP_MAX: MediaTime = MediaTime::from_millis(800);
/// A new run less than this behind the calendar waited for the verdict on a jump; it was no stall.
const STALL_MIN: Duration = Duration::from_millis(1_500);

/// The one timeline of a broadcast. Each publisher brings its own zero; the first frame of a later
/// one (a resume, a takeover), and of a new run after a time jump, is placed at the time that has
/// passed since the broadcast began. So media time keeps pace with the calendar, and
/// PROGRAM-DATE-TIME needs one anchor for ever. Where frames are ahead of that, because the encoder
/// before held its first ones back, every new run gives back what it may; so nothing adds up.
#[derive(Debug, Default)]
pub(super) struct Retime {
    zero: Option<MonoTime>,
    /// Added to the publisher's times; set by the first frame of each of its runs.
    offset: Option<MediaTime>,
    /// The publisher's own number of the run that `offset` belongs to.
    run: u32,
    /// Added to the publisher's run numbers.
    run_base: u32,
    last_run: u32,
    /// Decode time of the newest frame of all.
    newest: Option<MediaTime>,
}

impl Retime {
    /// A new publisher will write: its first frame sets the offset anew.
    pub(super) fn begin_publication(&mut self) {
        self.offset = None;
        self.run_base = if self.zero.is_some() { self.last_run.saturating_add(1) } else { 0 };
    }

    /// Moves a frame onto the broadcast's timeline.
    pub(super) fn place(&mut self, frame: &mut Frame, now: MonoTime) {
        let zero = *self.zero.get_or_insert(now);
        let elapsed = MediaTime::from(now.since(zero));
        let behind = |offset: MediaTime| (elapsed - (frame.dts + offset)).to_duration();
        let offset = match self.offset {
            Some(offset) if frame.run == self.run || behind(offset) < STALL_MIN => offset,
            Some(_) | None => {
                let start = self.newest.map_or(elapsed, |newest| elapsed.max(newest - OVERLAP_MAX));
                *self.offset.insert(start - frame.dts)
            }
        };
        self.run = frame.run;
        frame.dts = frame.dts + offset;
        frame.pts = frame.pts + offset;
        frame.run = frame.run.saturating_add(self.run_base);
        self.last_run = frame.run;
        self.newest = self.newest.max(Some(frame.dts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Format, TrackKind};
    use bytes::Bytes;
    use std::sync::Arc;

    fn frame(millis: i64) -> Frame {
        let at = MediaTime::from_millis(millis);
        Frame {
            track: TrackKind::Video,
            dts: at,
            pts: at,
            keyframe: true,
            run: 0,
            format: Arc::new(Format { video: None, audio: None }),
            payload: Bytes::new(),
        }
    }

    fn place(timeline: &mut Retime, publisher_millis: i64, now_millis: u64) -> (i64, u32) {
        let mut frame = frame(publisher_millis);
        timeline.place(&mut frame, MonoTime::from_start(Duration::from_millis(now_millis)));
        (frame.dts.as_micros() / 1_000, frame.run)
    }

    #[test]
    fn the_first_publisher_starts_at_zero() {
        let mut timeline = Retime::default();
        timeline.begin_publication();
        assert_eq!(place(&mut timeline, 7_000, 50_000), (0, 0));
        assert_eq!(place(&mut timeline, 7_040, 50_100), (40, 0));
    }

    #[test]
    fn a_resume_continues_at_the_time_that_passed() {
        let mut timeline = Retime::default();
        timeline.begin_publication();
        place(&mut timeline, 0, 1_000);
        place(&mut timeline, 40, 1_040);
        timeline.begin_publication();
        assert_eq!(place(&mut timeline, 900, 6_000), (5_000, 1));
        assert_eq!(place(&mut timeline, 940, 6_001), (5_040, 1));
    }

    /// D16: an encoder that stalled for five seconds and starts a new run is placed where the
    /// calendar is, not just behind its last frame.
    #[test]
    fn a_new_run_catches_up_with_the_calendar() {
        let mut timeline = Retime::default();
        timeline.begin_publication();
        place(&mut timeline, 0, 1_000);
        place(&mut timeline, 40, 1_040);
        let mut late = frame(80);
        late.run = 1;
        timeline.place(&mut late, MonoTime::from_start(Duration::from_millis(6_040)));
        assert_eq!((late.dts.as_micros() / 1_000, late.run), (5_040, 1));
    }

    #[test]
    fn a_takeover_goes_back_by_less_than_a_second() {
        let mut timeline = Retime::default();
        timeline.begin_publication();
        place(&mut timeline, 0, 1_000);
        place(&mut timeline, 3_000, 1_001);
        for (run, start) in [(1, 2_200), (2, 2_200), (3, 2_200)] {
            timeline.begin_publication();
            assert_eq!(place(&mut timeline, 0, 1_002), (start, run), "one after the other");
        }
        timeline.begin_publication();
        assert_eq!(place(&mut timeline, 0, 6_000), (5_000, 4), "all is given back");
    }

    /// D16: every 9.9 seconds another encoder brings three seconds that were held back, and goes on
    /// for 400 ms when the next one is there. What both show does not add up.
    #[test]
    fn what_overlaps_does_not_add_up() {
        let mut timeline = Retime::default();
        for takeover in 0..360 {
            timeline.begin_publication();
            let now = takeover * 9_900;
            let (start, _) = place(&mut timeline, 0, now);
            assert_eq!(start, i64::try_from(now).expect("short"));
            place(&mut timeline, 9_900 + 400, now + 9_900 + 400 - 3_000);
        }
    }

    // D16: takeovers between two frames leave media time with the calendar.
    #[test]
    fn takeovers_do_not_add_up() {
        let mut timeline = Retime::default();
        for takeover in 0..1_000 {
            timeline.begin_publication();
            let now = takeover * 90;
            let (start, run) = place(&mut timeline, 0, now);
            assert_eq!((start, u64::from(run)), (now.try_into().expect("short"), takeover));
            place(&mut timeline, 40, now + 40);
            place(&mut timeline, 80, now + 80);
        }
    }
}
