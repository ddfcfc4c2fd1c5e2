use proptest::prelude::*;

use super::*;

/// A publisher as tests write it: `(track, stamp in ms)`, arriving when stamped or at `arrival`.
struct Script {
    timeline: Timeline<()>,
    now: MonoTime,
}

impl Script {
    fn new() -> Self {
        Self { timeline: Timeline::new(1_000_000), now: MonoTime::ZERO }
    }

    fn send(&mut self, track: TrackKind, timestamp: u32) {
        let pace = match track {
            TrackKind::Video => Pace::Video(Some(MediaTime::from_millis(40))),
            TrackKind::Audio => Pace::Audio { samples: 1_920, rate: 48_000 },
        };
        let stamp = Stamp { timestamp, nanos: 0, pace };
        self.timeline.push(track, stamp, 1_000, (), self.now);
    }

    fn video(&mut self, stamps: impl IntoIterator<Item = u32>) {
        for stamp in stamps {
            self.send(TrackKind::Video, stamp);
            self.wait(40);
        }
    }

    /// A video and an audio frame of 40 ms each, `count` times.
    fn both(&mut self, video: u32, audio: u32, count: u32) {
        for n in 0..count {
            self.send(TrackKind::Video, video.wrapping_add(40 * n));
            self.send(TrackKind::Audio, audio.wrapping_add(40 * n));
            self.wait(40);
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.timeline.handle_tick(self.now);
    }

    /// Times of a track so far, in ms; a break is a `true`.
    fn out(&mut self) -> Vec<(TrackKind, i64, bool)> {
        std::iter::from_fn(|| self.timeline.next())
            .map(|timed| (timed.track, timed.dts.as_micros() / 1_000, timed.after_break))
            .collect()
    }

    fn findings(&mut self) -> Vec<Finding> {
        std::iter::from_fn(|| self.timeline.next_finding()).collect()
    }
}

fn of(out: &[(TrackKind, i64, bool)], track: TrackKind) -> Vec<i64> {
    out.iter().filter(|(of, ..)| *of == track).map(|(_, dts, _)| *dts).collect()
}

fn breaks(out: &[(TrackKind, i64, bool)]) -> Vec<i64> {
    out.iter().filter(|(.., after_break)| *after_break).map(|(_, dts, _)| *dts).collect()
}

fn every_40(count: i64) -> Vec<i64> {
    (0..count).map(|n| n * 40).collect()
}

// R20: tracks that start at other values run together.
#[test]
fn tracks_with_other_start_values_run_together() {
    for (video, audio) in [(0, 1_000_000), (3_000_000_000, 7), (500, 500)] {
        let mut script = Script::new();
        script.both(video, audio, 50);
        let out = script.out();
        assert_eq!(of(&out, TrackKind::Video), every_40(50));
        assert_eq!(of(&out, TrackKind::Audio), every_40(50));
        assert!(breaks(&out).is_empty());
    }
}

// H58: a small offset between the tracks is kept as it is.
#[test]
fn a_small_offset_between_tracks_is_kept() {
    let mut script = Script::new();
    script.both(1_000, 1_130, 3);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Video), [0, 40, 80]);
    assert_eq!(of(&out, TrackKind::Audio), [130, 170, 210]);
}

// R11: the clock wraps and nobody sees it.
#[test]
fn the_clock_wraps_unseen() {
    let mut script = Script::new();
    script.both(u32::MAX - 500, u32::MAX - 500, 50);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Video), every_40(50));
    assert!(breaks(&out).is_empty());
}

// R21, R22: a jump of both tracks is one break and keeps their offset.
#[test]
fn a_jump_of_both_tracks_is_one_break_and_keeps_their_offset() {
    for (from, to) in [(0, 60_000), (60_000, 0), (10_000, 7_000)] {
        let mut script = Script::new();
        script.both(from, from + 10, 10);
        script.both(to, to + 10, 10);
        let out = script.out();
        assert_eq!(of(&out, TrackKind::Video), every_40(20), "{from} {to}");
        let audio: Vec<_> = every_40(20).iter().map(|time| time + 10).collect();
        assert_eq!(of(&out, TrackKind::Audio), audio, "{from} {to}");
        assert_eq!(breaks(&out), [400]);
    }
}

// R21, H58: both tracks jump, and the picture misses more: sound and picture stay together.
#[test]
fn a_jump_that_one_track_joins_later_keeps_them_together() {
    let mut script = Script::new();
    script.both(0, 0, 25);
    for n in 0..150 {
        script.send(TrackKind::Audio, 15_000 + 40 * n);
    }
    script.both(21_000, 21_000, 50);
    let out = script.out();
    let video: Vec<_> = (0..25).chain(175..225).map(|n| n * 40).collect();
    assert_eq!(of(&out, TrackKind::Video), video);
    assert_eq!(of(&out, TrackKind::Audio), every_40(225));
    assert_eq!(breaks(&out), [7_000]);
}

// R21: a jump of the only track needs two frames to be believed.
#[test]
fn a_jump_of_a_lone_track_needs_two_frames() {
    let mut script = Script::new();
    script.video([0, 40, 80, 9_000]);
    assert_eq!(of(&script.out(), TrackKind::Video), [0, 40, 80]);
    script.video([9_040]);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Video), [120, 160]);
    assert_eq!(breaks(&out), [120]);
}

// R21: a lone odd frame is put between its neighbours.
#[test]
fn a_single_odd_frame_is_put_between_its_neighbours() {
    let mut script = Script::new();
    script.video([0, 40, 80_000, 120, 160]);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Video), [0, 40, 80, 120, 160]);
    assert!(breaks(&out).is_empty());
    assert_eq!(script.findings(), [Finding::OddFrames { track: TrackKind::Video, count: 1 }]);
}

// R21: the other track does not follow, so after a second the one goes on alone.
#[test]
fn a_jump_of_one_track_alone_is_believed_after_a_second() {
    let mut script = Script::new();
    script.both(0, 0, 10);
    script.both(50_000, 400, 40);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Video), every_40(50));
    assert_eq!(of(&out, TrackKind::Audio), every_40(50));
    assert_eq!(breaks(&out), [400]);
}

// R22: a small step back is clamped, and time still rises.
#[test]
fn a_small_step_back_is_clamped() {
    let mut script = Script::new();
    script.video([1_000, 1_040, 500, 540, 1_080]);
    assert_eq!(of(&script.out(), TrackKind::Video), [0, 40, 41, 42, 80]);
}

// R23: stamps that stand still are replaced by the frame rate.
#[test]
fn stamps_that_stand_still_are_replaced() {
    let mut script = Script::new();
    script.both(0, 0, 1);
    for _ in 0..30 {
        script.send(TrackKind::Video, 0);
        script.send(TrackKind::Audio, 0);
    }
    let out = script.out();
    let video = of(&out, TrackKind::Video);
    assert_eq!(video[..4], [0, 20, 60, 100]);
    assert_eq!(video[30], 20 + 29 * 40);
    assert_eq!(of(&out, TrackKind::Audio), every_40(31));
    assert!(script.findings().contains(&Finding::NoTimestamps { track: TrackKind::Video }));
}

// R27: a track that pauses is no jump while the other goes on.
#[test]
fn a_track_that_pauses_is_no_jump_while_the_other_goes_on() {
    let mut script = Script::new();
    script.both(0, 0, 5);
    for n in 5..100 {
        script.send(TrackKind::Audio, 40 * n);
        script.wait(40);
    }
    script.both(4_000, 4_000, 5);
    let out = script.out();
    assert_eq!(of(&out, TrackKind::Audio), every_40(105));
    let video = of(&out, TrackKind::Video);
    assert_eq!(video[5..], [4_000, 4_040, 4_080, 4_120, 4_160]);
    assert!(breaks(&out).is_empty());
}

#[test]
fn what_is_held_is_bounded() {
    let mut script = Script::new();
    script.both(0, 0, 1);
    let stamp = |timestamp| Stamp { timestamp, nanos: 0, pace: Pace::Video(None) };
    // 900 kB, then over a megabyte: decided at once, though no time has passed.
    for n in 0..2 {
        let stamp = stamp(90_000 + n);
        script.timeline.push(TrackKind::Video, stamp, 900_000, (), script.now);
    }
    assert_eq!(of(&script.out(), TrackKind::Video).len(), 3);
}

proptest! {
    // R22, H55: whatever times are sent, those that come out rise.
    #[test]
    fn hostile_times_rise_strictly(
        frames in prop::collection::vec((any::<bool>(), hostile_stamp(), 0_u64..300), 1..300),
    ) {
        let mut script = Script::new();
        for &(video, stamp, wait) in &frames {
            let track = if video { TrackKind::Video } else { TrackKind::Audio };
            script.send(track, stamp);
            script.wait(wait);
        }
        script.wait(2_000);
        let mut timed = Vec::new();
        while let Some(frame) = script.timeline.next() {
            timed.push((frame.track, frame.dts));
        }
        prop_assert_eq!(timed.len(), frames.len());
        for track in [TrackKind::Video, TrackKind::Audio] {
            let times: Vec<_> =
                timed.iter().filter(|(of, _)| *of == track).map(|(_, dts)| *dts).collect();
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times);
        }
    }
}

/// Near zero, near a wrap, or anywhere.
fn hostile_stamp() -> impl Strategy<Value = u32> {
    prop_oneof![0..5_000_u32, (u32::MAX - 3_000)..=u32::MAX, any::<u32>()]
}
