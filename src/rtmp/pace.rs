//! How fast media comes in, compared to real time.

use std::time::Duration;

use crate::base::{Limits, MediaTime, MonoTime};
use crate::media::TrackKind;

/// Media later than real time by this much is worth a word to the broadcaster.
const LATE: Duration = Duration::from_secs(20);
/// One slowing down waits at most this long, then it is judged again.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// A longer step of an encoder's stamps is a jump and says nothing about speed.
const JUMP: Duration = Duration::from_secs(5);

/// Compares media time with ours. Media that comes much faster than it plays, such as a file sent
/// without pacing, is slowed down by not reading; nothing is ever buffered for it.
#[derive(Debug)]
pub(super) struct Pace {
    video: Lane,
    audio: Lane,
    speed_max: u32,
    lead_max: Duration,
    told: bool,
}

/// Where a message or frame stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By its publisher: milliseconds that wrap, and jump as they like.
    Stamped(u32),
    /// By the timeline. Stamps that jump or stand still do not hide how much media came.
    Placed { dts: MediaTime, run: u32 },
}

/// One track's clock beside ours.
#[derive(Debug, Default)]
struct Lane {
    last: Option<(Place, MonoTime)>,
    /// Media that came faster than allowed and is not worked off yet: a bucket that leaks.
    lead: Duration,
    /// Real time that media has not made up for.
    behind: Duration,
}

/// What the pace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Go,
    /// Read nothing for so long.
    Wait(Duration),
    /// Media falls behind real time: the way here is too slow. Said once for each time.
    Late,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            video: Lane::default(),
            audio: Lane::default(),
            speed_max: limits.ingest_speed_max.max(1),
            lead_max: limits.ingest_burst,
            told: false,
        }
    }

    /// Judges a message as it arrives, or a frame as it is done.
    pub(super) fn judge(&mut self, track: TrackKind, place: Place, now: MonoTime) -> Advice {
        let speed_max = self.speed_max;
        let lane = match track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        lane.step(place, now, speed_max);
        let (lead, behind) = (lane.lead, lane.behind);
        if behind < LATE / 2 {
            self.told = false;
        }
        if lead > self.lead_max {
            return Advice::Wait(((lead - self.lead_max) / speed_max).min(WAIT_MAX));
        }
        if behind > LATE && !self.told {
            self.told = true;
            return Advice::Late;
        }
        Advice::Go
    }
}

impl Lane {
    fn step(&mut self, place: Place, now: MonoTime, speed_max: u32) {
        let Some((before, then)) = self.last.replace((place, now)) else { return };
        let Some(media) = step_between(before, place) else { return };
        let real = now.since(then);
        self.lead = (self.lead + media).saturating_sub(real.saturating_mul(speed_max));
        self.behind = (self.behind + real).saturating_sub(media);
        if begins_run(before, place) {
            // What lies before a break is not coming any more.
            self.behind = Duration::ZERO;
        }
    }
}

/// How much media lies between two places; none where that cannot be said.
fn step_between(before: Place, after: Place) -> Option<Duration> {
    match (before, after) {
        (Place::Stamped(before), Place::Stamped(after)) => {
            // Steps back come out as very long ones.
            let step = Duration::from_millis(after.wrapping_sub(before).into());
            (step <= JUMP).then_some(step)
        }
        (Place::Placed { dts: before, .. }, Place::Placed { dts: after, .. }) => {
            Some((after - before).to_duration())
        }
        (Place::Stamped(_), Place::Placed { .. }) | (Place::Placed { .. }, Place::Stamped(_)) => {
            None
        }
    }
}

fn begins_run(before: Place, after: Place) -> bool {
    match (before, after) {
        (Place::Placed { run: before, .. }, Place::Placed { run: after, .. }) => before != after,
        (Place::Stamped(_), _) | (_, Place::Stamped(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds one message for each second of media from `from` to `to`, all at once.
    fn feed(pace: &mut Pace, from: u32, to: u32, at_millis: u64) -> Advice {
        let now = MonoTime::from_start(Duration::from_millis(at_millis));
        let mut advice = Advice::Go;
        for second in from..=to {
            let stamp = second.wrapping_mul(1_000);
            advice = pace.judge(TrackKind::Video, Place::Stamped(stamp), now);
        }
        advice
    }

    fn pace() -> Pace {
        Pace::new(&Limits { ingest_burst: Duration::from_secs(6), ..Limits::default() })
    }

    // R48: a file that is sent at once is slowed to four times real time.
    #[test]
    fn a_file_sent_at_once_is_slowed_to_four_times_real_time() {
        let mut pace = pace();
        assert_eq!(feed(&mut pace, 0, 6, 0), Advice::Go);
        assert_eq!(feed(&mut pace, 7, 7, 0), Advice::Wait(Duration::from_millis(250)));
        assert_eq!(feed(&mut pace, 8, 20, 0), Advice::Wait(WAIT_MAX));
        // Work it off: 14 s of media above the 6 s take 3.5 s.
        assert_eq!(feed(&mut pace, 20, 20, 3_500), Advice::Go);
        assert_eq!(feed(&mut pace, 21, 21, 3_500), Advice::Wait(Duration::from_millis(250)));
    }

    #[test]
    fn an_hour_of_real_time_saves_nothing_for_a_burst() {
        let mut pace = pace();
        for second in 0..3_600 {
            assert_eq!(feed(&mut pace, second, second, u64::from(second) * 1_000), Advice::Go);
        }
        assert_eq!(feed(&mut pace, 3_600, 3_605, 3_599_000), Advice::Go);
        assert_eq!(feed(&mut pace, 3_606, 3_607, 3_599_000), Advice::Wait(WAIT_MAX));
    }

    #[test]
    fn jumps_of_the_clock_are_no_speed() {
        let mut pace = pace();
        let mut at = |seconds| feed(&mut pace, seconds, seconds, 0);
        for seconds in [0, 100, 50, u32::MAX / 1_000, 3, 1_000_000] {
            assert_eq!(at(seconds), Advice::Go, "{seconds}");
        }
    }

    // R48: media that falls behind is told once for each time it does.
    #[test]
    fn media_that_falls_behind_is_told_once_for_each_time() {
        let mut pace = pace();
        assert_eq!(feed(&mut pace, 0, 5, 0), Advice::Go);
        assert_eq!(feed(&mut pace, 6, 6, 21_000), Advice::Go);
        assert_eq!(feed(&mut pace, 7, 7, 23_000), Advice::Late);
        assert_eq!(feed(&mut pace, 8, 8, 25_000), Advice::Go);
        // The link is back and what waited in the encoder comes, which is slowed down too.
        assert_eq!(feed(&mut pace, 9, 30, 30_000), Advice::Wait(WAIT_MAX));
        assert_eq!(feed(&mut pace, 31, 31, 60_000), Advice::Late);
    }

    // R48: a broadcast that was put together again is not late by what it lost.
    #[test]
    fn a_new_run_is_not_behind() {
        let late = |run_of: fn(u64) -> u32| {
            let mut pace = pace();
            (0..10).any(|n| {
                // A second of media every four, as after three seconds without any.
                let now = MonoTime::from_start(Duration::from_secs(n * 4));
                let dts = MediaTime::from_millis(i64::try_from(n).unwrap() * 1_000);
                let place = Place::Placed { dts, run: run_of(n) };
                pace.judge(TrackKind::Video, place, now) == Advice::Late
            })
        };
        assert!(late(|_| 0), "a link that is too slow");
        assert!(!late(|n| u32::try_from(n).unwrap()), "an encoder that was restarted");
    }
}
