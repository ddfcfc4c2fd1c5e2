//! Whole broadcasts through segmenter and window, judged version by version: encoders with odd
//! frame rates and GOPs that stumble, leave, come back and change their format.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Cut, Found, Segmenter, Settings, Window, render, render_delta};
use crate::base::{Limits, MediaSeq, MediaTime, MonoTime, WallTime};
use crate::media::{Format, Frame};
use crate::testing::clips;
use crate::testing::lint::assert_version;
use crate::testing::player::Player;

/// 2026-11-21T08:00:00Z
const ZERO: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
/// Lengths in playlists have six digits, and many are added up.
const GRAIN: Duration = Duration::from_millis(1);
const AAC_FRAME_MICROS: i64 = 21_333;

#[derive(Clone, Copy, Debug)]
enum Tracks {
    Both,
    Video,
    Audio,
}

#[derive(Clone, Debug)]
struct Encoder {
    tracks: Tracks,
    /// Frames a second, in thousandths.
    rate_millis: i64,
    gop: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Play {
        millis: i64,
    },
    /// Time passes in which no frame was made; the timeline goes on.
    Hole {
        millis: i64,
    },
    /// The publisher is away this long, and back with a new run.
    Away {
        millis: i64,
    },
    /// Back at once: a takeover.
    NewRun,
    /// The same again with another configuration.
    NewFormat,
}

struct Journey {
    segmenter: Segmenter,
    window: Window,
    cuts: Vec<Cut>,
    /// Looks at the media of what is listed.
    player: Player,
    promises: Promises,
    last: Option<String>,
    deltas: usize,
    encoder: Encoder,
    format: Arc<Format>,
    run: u32,
    /// Where the next frame lies, in microseconds.
    now: i64,
    since_keyframe: i64,
    /// Where the newest frame lies, in microseconds: it arrives when it is due.
    arrived: i64,
    /// When each part with media came, and when each segment was whole.
    parts_came: Vec<i64>,
    segments_came: Vec<i64>,
}

impl Journey {
    fn new(encoder: Encoder, span_secs: u64) -> Self {
        let span = Duration::from_secs(span_secs);
        let settings = Settings { window: span, ..Settings::default() };
        Self {
            segmenter: Segmenter::new(&settings, &Limits::default(), MediaSeq(1_000), ZERO),
            window: Window::new(span, usize::MAX),
            cuts: Vec::new(),
            player: Player::default(),
            promises: Promises::default(),
            last: None,
            deltas: 0,
            format: format(encoder.tracks),
            encoder,
            run: 0,
            now: 0,
            since_keyframe: 0,
            arrived: 0,
            parts_came: Vec::new(),
            segments_came: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Play { millis } => self.play(*millis),
            Step::Hole { millis } => self.now += millis * 1_000,
            Step::NewRun => self.begin_run(),
            Step::Away { millis } => {
                let mut left = *millis;
                while left > 0 {
                    self.now += left.min(250) * 1_000;
                    left -= 250;
                    self.segmenter.fill_gap(MediaTime::from_micros(self.now), &mut self.cuts);
                    self.judge();
                }
                self.begin_run();
            }
            Step::NewFormat => {
                let mut format = Format::clone(&self.format);
                if let Some(video) = &mut format.video {
                    video.width = if video.width == 320 { 640 } else { 320 };
                }
                self.format = Arc::new(format);
                self.since_keyframe = 0;
            }
        }
    }

    fn begin_run(&mut self) {
        self.run += 1;
        self.since_keyframe = 0;
    }

    /// Frames in decode order, times in whole milliseconds as RTMP has them.
    fn play(&mut self, millis: i64) {
        let begin = self.now;
        let end = begin + millis * 1_000;
        let (mut video, mut audio) = (begin, begin);
        while video.min(audio) < end {
            match self.encoder.tracks {
                Tracks::Video => audio = i64::MAX,
                Tracks::Audio => video = i64::MAX,
                Tracks::Both => {}
            }
            let at = video.min(audio);
            if at >= end {
                break;
            }
            if video <= audio {
                let key = self.since_keyframe == 0;
                self.since_keyframe = (self.since_keyframe + 1) % self.encoder.gop;
                self.push(clips::video_frame(&self.format, at / 1_000, key, 500));
                video += 1_000_000_000 / self.encoder.rate_millis;
            } else {
                let mut frame = clips::audio_frame(&self.format, 0, 100);
                frame.dts = MediaTime::from_millis(at / 1_000);
                frame.pts = frame.dts;
                self.push(frame);
                audio += AAC_FRAME_MICROS;
            }
        }
        self.now = end;
    }

    fn push(&mut self, frame: Frame) {
        let frame = Arc::new(Frame { run: self.run, ..frame });
        self.arrived = frame.dts.as_micros();
        self.now = self.arrived.max(self.now);
        self.segmenter.push(&frame, &mut self.cuts);
        self.judge();
    }

    fn finish(&mut self) {
        self.segmenter.finish(&mut self.cuts);
        self.apply();
        self.window.finish(self.mono());
        self.judge_version();
    }

    fn judge(&mut self) {
        if !self.cuts.is_empty() {
            self.apply();
            self.judge_version();
        }
    }

    fn apply(&mut self) {
        let now = self.mono();
        for cut in self.cuts.drain(..) {
            match &cut {
                Cut::Part(part) if !part.gap => self.parts_came.push(self.arrived),
                Cut::Close { .. } => self.segments_came.push(self.arrived),
                Cut::Part(_) | Cut::Targets(_) | Cut::Init(_) | Cut::Open(_) => {}
            }
            self.player.hear(&cut);
            self.window.apply(cut, now);
        }
        self.window.note_version();
    }

    fn judge_version(&mut self) {
        if self.window.edge().last_msn().is_none() {
            return;
        }
        let text = render(&self.window, None).expect("the targets are known");
        let delta = render_delta(&self.window, None);
        assert_version(self.last.as_deref(), &text, delta.as_deref());
        self.player.play(&text);
        let now = Duration::from_micros(self.now.try_into().expect("after zero"));
        self.promises.see(&text, now);
        self.promises.assert_kept(&mut self.window, now);
        // An interval of keyframes longer than a segment is cut within, and then no segment is
        // promised to be independent.
        let findings = self.player.findings().into_iter().filter(|finding| finding.rule != "H54");
        let findings: Vec<_> = findings.collect();
        assert!(findings.is_empty(), "{findings:#?}\n{text}");
        self.deltas += usize::from(delta.is_some());
        self.last = Some(text);
    }

    fn mono(&self) -> MonoTime {
        MonoTime::from_start(Duration::from_micros(self.now.try_into().expect("after zero")))
    }
}

/// What the versions of a playlist have promised of their segments.
#[derive(Debug, Default)]
struct Promises {
    of: BTreeMap<u64, Promise>,
    /// The longest of all versions.
    longest: f64,
}

#[derive(Debug)]
struct Promise {
    listed: Duration,
    length: f64,
    /// The longest playlist that held it, with the parts at its end.
    longest: f64,
    /// Since it left the playlist.
    left: Option<Duration>,
}

impl Promises {
    fn see(&mut self, text: &str, now: Duration) {
        let number = |line: &str| line.split([',', '=']).next()?.parse::<f64>().ok();
        let segments = text.lines().filter_map(|l| number(l.strip_prefix("#EXTINF:")?));
        let segments: Vec<_> = segments.collect();
        let open = text.rsplit_once("s1").map_or("", |(_, open)| open);
        let parts = open.lines().filter_map(|l| number(l.strip_prefix("#EXT-X-PART:DURATION=")?));
        let length: f64 = segments.iter().chain(&parts.collect::<Vec<_>>()).sum();
        self.longest = self.longest.max(length);
        let first = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
        let first: u64 = first.and_then(|number| number.parse().ok()).expect("a number");
        let listed = first..first + u64::try_from(segments.len()).expect("a few");
        for (msn, length_own) in listed.clone().zip(segments) {
            let promise = self.of.entry(msn).or_insert(Promise {
                listed: now,
                length: length_own,
                longest: 0.0,
                left: None,
            });
            promise.longest = promise.longest.max(length);
        }
        for (_, promise) in self.of.range_mut(..listed.start) {
            promise.left.get_or_insert(now);
        }
    }

    /// A segment that left is there for its length and that of the longest playlist with it, from
    /// its first listing, and is gone when that is over and no part of it is promised any more.
    fn assert_kept(&mut self, window: &mut Window, now: Duration) {
        window.expire(MonoTime::from_start(now));
        let parts_kept = window.targets().expect("they are known").segment * 3;
        let longest = self.longest;
        self.of.retain(|&msn, promise| {
            let Some(left) = promise.left else { return true };
            let until =
                |longest| promise.listed + Duration::from_secs_f64(promise.length + longest);
            let found = matches!(window.find_segment(MediaSeq(msn)), Found::Media(_));
            assert!(
                found || until(promise.longest) <= now + GRAIN,
                "{msn} went at {now:?}: {promise:?}"
            );
            let over = until(longest).max(left + parts_kept) + GRAIN < now;
            assert!(!found || !over, "{msn} is there at {now:?}: {promise:?}");
            found
        });
    }
}

fn format(tracks: Tracks) -> Arc<Format> {
    match tracks {
        Tracks::Both => clips::format(),
        Tracks::Video => clips::video_format(),
        Tracks::Audio => clips::audio_format(),
    }
}

fn encoder() -> impl Strategy<Value = Encoder> {
    let tracks = prop_oneof![Just(Tracks::Both), Just(Tracks::Video), Just(Tracks::Audio)];
    let rates = [15_000, 23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000];
    let rate = proptest::sample::select(rates.to_vec());
    (tracks, rate, prop_oneof![Just(1_i64), Just(30), Just(60), Just(250), 2_i64..400])
        .prop_map(|(tracks, rate_millis, gop)| Encoder { tracks, rate_millis, gop })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (100_i64..9_000).prop_map(|millis| Step::Play { millis }),
        1 => (1_i64..3_000).prop_map(|millis| Step::Hole { millis }),
        1 => (10_000_i64..15_000).prop_map(|millis| Step::Hole { millis }),
        2 => (1_i64..20_000).prop_map(|millis| Step::Away { millis }),
        1 => Just(Step::NewRun),
        1 => Just(Step::NewFormat),
    ];
    proptest::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    // H2-H8, H10-H18, H21, H22, H24, H27, H34-H37, H39-H46, H49-H53, H55, H59, H72-H83: the judge
    // of playlists finds nothing in any version, nor in the change to the next, and the judge of
    // media nothing in what is listed.
    #[test]
    fn every_broadcast_is_clean(encoder in encoder(), steps in steps(), span in 2_u64..60) {
        let mut journey = Journey::new(encoder, span);
        steps.iter().for_each(|step| journey.take(step));
        journey.finish();
    }
}

// H101, H102: delta updates over a sliding window make the full text.
// H13, H14, H35, H36, H49-H52, H55, H59, H75: the judge of media finds nothing in what is listed.
#[test]
fn every_delta_update_of_a_long_broadcast_applies() {
    let encoder = Encoder { tracks: Tracks::Both, rate_millis: 29_970, gop: 60 };
    let mut journey = Journey::new(encoder, 121);
    for _ in 0..3 {
        journey.take(&Step::Play { millis: 50_000 });
        journey.take(&Step::Away { millis: 5_000 });
    }
    journey.finish();
    assert!(journey.deltas > 500, "{}", journey.deltas);
}

// H17, H39, H42, H46, H82: the first part is listed with its last frame, behind a segment of missing
// media that ends where it begins. Players reject a playlist without a segment.
#[test]
fn the_first_part_waits_for_no_segment() {
    let encoder = Encoder { tracks: Tracks::Video, rate_millis: 25_000, gop: 50 };
    let mut journey = Journey::new(encoder, 30);
    journey.take(&Step::Play { millis: 200 });
    assert_eq!(journey.last, None, "five frames of 40 ms make no part");
    journey.take(&Step::Play { millis: 40 });
    let first = journey.last.clone().expect("the sixth makes one");
    let (_, body) = first.split_once("#EXT-X-MEDIA-SEQUENCE:").expect("a playlist");
    let missing: String = (1..=8)
        .map(|n| format!("#EXT-X-PART:DURATION=0.240000,URI=\"p{n}.m4s\",GAP=YES\n"))
        .collect();
    let expected = format!(
        "1000\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-MAP:URI=\"init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T07:59:58.080Z\n{missing}\
         #EXT-X-GAP\n#EXTINF:1.920000,\ns1000.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z\n\
         #EXT-X-PART:DURATION=0.240000,URI=\"p9.m4s\",INDEPENDENT=YES\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p10.m4s\"\n"
    );
    assert_eq!(body, expected);
    journey.take(&Step::Play { millis: 60_000 });
    let last = journey.last.clone().expect("a playlist");
    assert!(!last.contains("GAP"), "it leaves with the window: {last}");
    journey.finish();
}

// A broadcast shorter than a segment, and one shorter than a part.
#[test]
fn a_short_broadcast_is_listed_whole() {
    for frames in [1, 5, 9] {
        let encoder = Encoder { tracks: Tracks::Both, rate_millis: 25_000, gop: 50 };
        let mut journey = Journey::new(encoder, 30);
        journey.take(&Step::Play { millis: frames * 40 });
        journey.finish();
        let last = journey.last.expect("a playlist");
        assert!(last.ends_with("s1001.m4s\n#EXT-X-ENDLIST\n"), "{last}");
        assert_eq!(last.matches("#EXT-X-GAP\n").count(), 1, "{last}");
    }
}

// H25, H26: a new part at most a part target after the last, a new segment at most one and a half
// target durations.
#[test]
fn parts_and_segments_come_in_time() {
    // Times are whole milliseconds, so two of them are off by one at most.
    const ROUNDED: i64 = 1_000;
    let longest = |came: &[i64]| came.windows(2).map(|two| two[1] - two[0]).max();
    for (tracks, rate_millis, gop) in [
        (Tracks::Both, 30_000, 60),
        (Tracks::Both, 29_970, 60),
        (Tracks::Both, 25_000, 50),
        (Tracks::Both, 60_000, 120),
        (Tracks::Both, 30_000, 250),
        (Tracks::Video, 30_000, 37),
        (Tracks::Audio, 30_000, 60),
    ] {
        let mut journey = Journey::new(Encoder { tracks, rate_millis, gop }, 30);
        journey.take(&Step::Play { millis: 60_000 });
        let targets = *journey.window.targets().expect("media");
        let micros = |length: Duration| MediaTime::from(length).as_micros();
        let part = longest(&journey.parts_came).expect("parts");
        let segment = longest(&journey.segments_came).expect("segments");
        let what = format!("{tracks:?} {rate_millis} {gop}: part {part}, segment {segment}");
        assert!(part <= micros(targets.part) + ROUNDED, "{what} of {targets:?}");
        assert!(2 * segment <= 3 * micros(targets.segment) + ROUNDED, "{what} of {targets:?}");
        assert!(journey.parts_came.len() > 250, "{what}");
    }
}

// H84: a format that changes is known before its first part is whole, and a version says so.
#[test]
fn a_change_of_format_is_hinted_before_its_first_part() {
    let mut journey =
        Journey::new(Encoder { tracks: Tracks::Video, rate_millis: 30_000, gop: 60 }, 30);
    journey.take(&Step::Play { millis: 1_000 });
    journey.take(&Step::NewFormat);
    journey.take(&Step::Play { millis: 150 });
    let last = journey.last.clone().expect("a playlist");
    assert!(last.contains("#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init-2.mp4\"\n"), "{last}");
    journey.take(&Step::Play { millis: 200 });
    assert!(!journey.last.expect("a playlist").contains("TYPE=MAP"));
}

// H84: the same where the pace of the new format is still to be learned.
#[test]
fn a_format_whose_pace_is_unknown_is_hinted_too() {
    let mut journey =
        Journey::new(Encoder { tracks: Tracks::Both, rate_millis: 23_976, gop: 1 }, 2);
    journey.take(&Step::Play { millis: 167 });
    journey.take(&Step::NewFormat);
    journey.take(&Step::Play { millis: 100 });
    assert!(journey.last.expect("a playlist").contains("init-2.mp4"));
}

// H13, H14, H52: media that is listed as missing is not spanned by the sample after it as well.
#[test]
fn a_hole_in_everything_is_listed_once() {
    let mut journey =
        Journey::new(Encoder { tracks: Tracks::Both, rate_millis: 25_000, gop: 1 }, 30);
    journey.take(&Step::Play { millis: 100 });
    journey.take(&Step::Hole { millis: 1_190 });
    journey.take(&Step::Play { millis: 304 });
    journey.finish();
}

// H13, H14: the last segment before a break is as long as its pictures are shown, in a slow stream
// too.
#[test]
fn the_last_segment_of_a_slow_stream_is_as_long_as_its_pictures() {
    let mut journey =
        Journey::new(Encoder { tracks: Tracks::Both, rate_millis: 15_000, gop: 250 }, 30);
    journey.take(&Step::Play { millis: 277 });
    journey.take(&Step::Play { millis: 3_478 });
    journey.take(&Step::Away { millis: 258 });
    journey.finish();
}

// H45, D16: a run that begins before the last picture of the one before was to end takes that
// time from it, so dates stay with the media over any number of runs.
#[test]
fn dates_do_not_drift_over_runs_without_a_gap() {
    let mut journey =
        Journey::new(Encoder { tracks: Tracks::Both, rate_millis: 15_000, gop: 250 }, 30);
    for _ in 0..100 {
        journey.take(&Step::Play { millis: 300 });
        journey.take(&Step::NewRun);
    }
    let began = journey.now;
    journey.take(&Step::Play { millis: 250 });
    let text = journey.last.clone().expect("a playlist");
    let (_, newest) = text.rsplit_once("#EXT-X-PROGRAM-DATE-TIME:").expect("a date");
    let date = newest.lines().next().expect("a line");
    let date: jiff::Timestamp = date.parse().expect("a date");
    let late = date.as_microsecond() - ZERO.unix_millis() * 1_000 - began;
    assert!((0..=67_000).contains(&late), "{late} us late");
    journey.finish();
}
