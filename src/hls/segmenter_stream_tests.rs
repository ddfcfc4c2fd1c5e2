//! Streams that nobody wrote by hand: every rate, any jitter, floods and frames in any order, judged
//! by the laws of cuts and by another demuxer.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::hls::frame_script::{
    BOTH, Maker, Step, Tracks, ZERO, closes, cuts, laws, parts, text, video_time,
};
use crate::hls::segment::Part;
use crate::media::fmp4::reader::read_part;

const VIDEO: Tracks = Tracks { audio: false, ..BOTH };
const AUDIO: Tracks = Tracks { video: false, ..BOTH };

/// Frames of `rate` for `seconds`, keyframes every `gop`, stamped in milliseconds plus `jitter`,
/// with audio in between, in order of decode time.
fn stream(tracks: Tracks, rate: (u32, u32), gop: i64, seconds: i64, jitter: &[i64]) -> Vec<Step> {
    let maker = Maker::new(tracks);
    let (frames, per) = (i64::from(rate.0), i64::from(rate.1));
    let mut steps = Vec::new();
    let mut audio = 0;
    for frame in 0..seconds * frames / per {
        let jitter = jitter.get(usize::try_from(frame).unwrap() % jitter.len().max(1));
        let at = (frame * per * 1_000 + frames / 2) / frames + jitter.copied().unwrap_or(0);
        while tracks.audio && audio * 64 / 3 <= at {
            steps.push(maker.audio(MediaTime::from_millis(audio * 64 / 3)));
            audio += 1;
        }
        let key = frame % gop == 0;
        steps.push(maker.video(MediaTime::from_millis(at), MediaTime::ZERO, b"p", key));
    }
    steps
}

#[test]
fn every_usual_rate_makes_regular_parts() {
    // H12, H13, H52, H58, H73, H74: a minute of every usual rate keeps the laws of parts.
    let rates = [
        (24_000, 1_001),
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (50, 1),
        (60_000, 1_001),
        (60, 1),
    ];
    for rate in rates {
        for stated in [None, Some(rate)] {
            let tracks = Tracks { rate: stated, ..BOTH };
            let gop = i64::from(rate.0.div_ceil(rate.1)) * 2;
            let steps = stream(tracks, rate, gop, 60, &[0]);
            let cuts = cuts(&Settings::default(), &Limits::default(), &steps);
            laws(&cuts).unwrap_or_else(|broken| panic!("{rate:?} {stated:?}: {broken}"));
            let lengths = closes(&cuts);
            let odd = lengths
                .iter()
                .rev()
                .skip(1)
                .filter(|length| (length.as_micros() - 2_000_000).abs() > 5_000);
            assert_eq!(odd.count(), 0, "{rate:?} {stated:?}: {lengths:?}");
            assert!(
                offsets_within(&cuts, &steps, MediaTime::from_millis(5)),
                "{rate:?} {stated:?}"
            );
        }
    }
}

/// Whoever wakes for no frame that is decoded before [`Segmenter::due`] misses no part but one that
/// a keyframe ends which nobody foresaw, and sleeps through most frames.
#[test]
fn nothing_is_complete_before_it_is_due() {
    for rate in [(24_000, 1_001), (25, 1), (30, 1), (60_000, 1_001)] {
        for (tracks, gop) in [(BOTH, 50), (VIDEO, 63), (AUDIO, 50)] {
            let mut segmenter =
                Segmenter::new(&Settings::default(), &Limits::default(), MediaSeq(1), ZERO);
            let (mut out, mut early, mut all) = (Vec::new(), 0, 0);
            for step in stream(tracks, rate, gop, 60, &[0, 1, -1]) {
                let Step::Frame(frame) = step else { continue };
                let due = segmenter.due().filter(|&due| frame.dts < due);
                segmenter.push(&frame, &mut out);
                if reference(&frame.format) == Some(frame.track) {
                    early += u32::from(due.is_some());
                    all += 1;
                    let kept = due.is_none() || out.is_empty() || frame.keyframe;
                    assert!(kept, "{rate:?} {tracks:?}: {out:?}");
                }
                out.clear();
            }
            assert!(all * 6 / 10 < early, "{rate:?} {tracks:?}: {early} of {all} are early");
        }
    }
}

/// H58: every sample of every track is decoded within `tolerance` of its frame's own time.
fn offsets_within(cuts: &[Cut], steps: &[Step], tolerance: MediaTime) -> bool {
    let of = |track: TrackKind| {
        steps.iter().filter_map(move |step| match step {
            Step::Frame(frame) if frame.track == track => Some(frame.dts),
            Step::Frame(_) | Step::Gap(_) => None,
        })
    };
    let (mut video, mut audio) = (of(TrackKind::Video), of(TrackKind::Audio));
    parts(cuts).iter().all(|part| {
        let read = read_part(&part.bytes).expect("reads");
        read.runs.iter().all(|run| {
            let mut at = run.base;
            run.samples.iter().all(|sample| {
                let (written, wanted) = match run.track {
                    TrackKind::Video => (video_time(at), video.next()),
                    TrackKind::Audio => {
                        (MediaTime::from_ticks(i64::try_from(at).unwrap(), 48_000), audio.next())
                    }
                };
                at += u64::from(sample.duration);
                let late = written - wanted.expect("a frame for each sample");
                late <= tolerance && MediaTime::ZERO - late <= tolerance
            })
        })
    })
}

#[test]
fn segments_play_in_another_demuxer() {
    // H51, H53: a foreign demuxer finds every sample of every part.
    let cuts = cuts(&Settings::default(), &Limits::default(), &stream(BOTH, (30, 1), 60, 4, &[0]));
    let mut demuxer = shiguredo_mp4::demux::Fmp4SegmentDemuxer::new();
    let mut ours = 0;
    let mut theirs = 0;
    for cut in &cuts {
        match cut {
            Cut::Init(init) => demuxer.handle_init_segment(&init.bytes).expect("an init segment"),
            Cut::Part(part) => {
                theirs += demuxer.handle_media_segment(&part.bytes).expect("a part").len();
                let read = read_part(&part.bytes).expect("a part");
                ours += read.runs.iter().map(|run| run.samples.len()).sum::<usize>();
            }
            Cut::Targets(_) | Cut::Open(_) | Cut::Close { .. } => {}
        }
    }
    assert_eq!(theirs, ours);
    assert!(300 < ours);
}

#[test]
fn audio_fills_no_part_beyond_its_bytes_while_video_is_silent() {
    // H73, H74: a picture, then large audio frames a millisecond apart, or at one instant.
    let limits = Limits { gop_bytes_max: 40_000, ..Limits::default() };
    for step in [1, 0] {
        let steps = loud(step, 8_000, 600);
        let cuts = cuts(&Settings::default(), &limits, &steps);
        laws(&cuts).unwrap_or_else(|broken| panic!("{broken}\n{}", text(&cuts)));
        let largest = parts(&cuts).iter().map(|part| part.bytes.len()).max();
        assert!(largest < Some(50_000), "{largest:?}");
        assert!(595 <= audio_samples(&cuts), "all but the part that was open at the end");
    }
}

#[test]
fn audio_fills_no_part_beyond_its_frames_while_video_is_silent() {
    let limits = Limits { track_messages_per_second_max: 50, ..Limits::default() };
    let cuts = cuts(&Settings::default(), &limits, &loud(1, 3, 600));
    laws(&cuts).unwrap_or_else(|broken| panic!("{broken}\n{}", text(&cuts)));
    let samples = |part: &Arc<Part>| {
        let runs = read_part(&part.bytes).expect("reads").runs;
        runs.iter().map(|run| run.samples.len()).max()
    };
    assert_eq!(parts(&cuts).iter().filter_map(samples).max(), Some(50));
}

/// A keyframe, and then `count` audio frames of `bytes` each, `step` milliseconds apart.
fn loud(step: i64, bytes: usize, count: i64) -> Vec<Step> {
    let maker = Maker::new(BOTH);
    let first = maker.video(MediaTime::ZERO, MediaTime::ZERO, b"key", true);
    let audio = (1..=count).map(|index| match maker.audio(MediaTime::from_millis(index * step)) {
        Step::Frame(frame) => {
            let payload = vec![0; bytes].into();
            Step::Frame(Arc::new(Frame { payload, ..Frame::clone(&frame) }))
        }
        gap @ Step::Gap(_) => gap,
    });
    std::iter::once(first).chain(audio).collect()
}

fn audio_samples(cuts: &[Cut]) -> usize {
    let parts = parts(cuts);
    let runs = parts.iter().flat_map(|part| read_part(&part.bytes).expect("reads").runs);
    runs.filter(|run| run.track == TrackKind::Audio).map(|run| run.samples.len()).sum()
}

/// Steps in any order: both tracks on clocks of their own, any jitter, runs, formats, gaps.
fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let event = prop_oneof![
        12 => (1_i64..100, any::<bool>(), 0_i64..100).prop_map(|(d, k, o)| ('v', d, k, o)),
        12 => (25_i64..45).prop_map(|d| ('v', d, false, 0)),
        3 => (100_i64..1_500).prop_map(|d| ('v', d, false, 0)),
        20 => (1_i64..60).prop_map(|d| ('a', d, true, 0)),
        1 => (0_i64..1_500).prop_map(|d| ('a', d, true, 0)),
        1 => prop::sample::select(vec![i64::MIN, -1_i64 << 40, 1 << 31, 1 << 40, i64::MAX])
            .prop_map(|at| ('w', at, true, at)),
        1 => Just(('r', 0, false, 0)),
        1 => Just(('f', 0, false, 0)),
        1 => (0_i64..6_000).prop_map(|d| ('g', d, false, 0)),
    ];
    let tracks = prop_oneof![Just(BOTH), Just(VIDEO), Just(AUDIO)];
    let stated = prop_oneof![Just(None), (1_u32..70, 1_u32..3).prop_map(Some)];
    (tracks, stated, -50_i64..50, prop::collection::vec(event, 0..400)).prop_map(
        |(tracks, rate, start, events)| {
            let tracks = Tracks { rate, ..tracks };
            let mut maker = Maker::new(tracks);
            let (mut video, mut audio, mut width) = (start, 0, 1280);
            let mut steps = Vec::new();
            for (kind, delta, key, offset) in events {
                match kind {
                    'v' => {
                        video += delta;
                        let [at, offset] = [video, offset].map(MediaTime::from_millis);
                        steps.push(maker.video(at, offset, b"p", key));
                    }
                    'a' => {
                        audio += delta;
                        steps.push(maker.audio(MediaTime::from_millis(audio)));
                    }
                    'w' => {
                        let at = MediaTime::from_micros(delta);
                        steps.push(maker.video(at, MediaTime::from_micros(offset), b"p", key));
                        steps.push(maker.audio(at));
                    }
                    'r' => maker.run += 1,
                    'f' => {
                        width += 16;
                        maker.format = tracks.format(width);
                    }
                    _ => {
                        video = video.max(audio) + delta;
                        audio = video;
                        steps.push(Step::Gap(MediaTime::from_millis(video)));
                        maker.run += 1;
                    }
                }
            }
            steps
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_make_lawful_cuts(
        steps in any_steps(),
        gop_bytes_max in prop_oneof![Just(Limits::default().gop_bytes_max), 1_usize..100],
    ) {
        // H12, H36, H39, H45, H52, H53, H55, H73, H74, H75: any frames make lawful cuts.
        let limits = Limits { gop_bytes_max, ..Limits::default() };
        let cuts = cuts(&Settings::default(), &limits, &steps);
        if let Err(broken) = laws(&cuts) {
            prop_assert!(false, "{}\n{}", broken, text(&cuts));
        }
    }

    #[test]
    fn jittered_streams_keep_sound_and_picture_together(
        jitter in prop::collection::vec(-9_i64..=9, 1..50),
        rate in 12_u32..61,
    ) {
        // H58, H73, H74: stamps that jitter keep sound and picture together.
        let steps = stream(BOTH, (rate, 1), i64::from(rate) * 2, 8, &jitter);
        let cuts = cuts(&Settings::default(), &Limits::default(), &steps);
        if let Err(broken) = laws(&cuts) {
            prop_assert!(false, "{}\n{}", broken, text(&cuts));
        }
        prop_assert!(offsets_within(&cuts, &steps, longest_frame(rate)), "{}", text(&cuts));
    }
}

/// A frame of such a stream with its jitter: it may come 9 ms late after one 9 ms early.
fn longest_frame(rate: u32) -> MediaTime {
    MediaTime::from_micros(1_000_000 / i64::from(rate) + 18_000)
}

#[test]
fn a_stream_whose_frames_come_in_pairs_keeps_its_sound() {
    // H58: within one frame, and here every second frame is 34 ms long.
    let steps = stream(BOTH, (58, 1), 116, 8, &[9, -8]);
    let cuts = cuts(&Settings::default(), &Limits::default(), &steps);
    laws(&cuts).expect("lawful cuts");
    assert!(offsets_within(&cuts, &steps, longest_frame(58)), "{}", text(&cuts));
}
