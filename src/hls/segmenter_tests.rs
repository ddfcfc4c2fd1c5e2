//! What the segmenter makes of frames: a script of frames in, a line of cuts out; whole streams
//! of every usual rate; and frames in any order at all.

use std::fmt::Write;

use super::*;
use crate::hls::frame_script::{BOTH, Maker, Step, Tracks, check, closes, cuts, laws, parse, text};
use crate::hls::segment::Part;

const VIDEO: Tracks = Tracks { audio: false, ..BOTH };
const AUDIO: Tracks = Tracks { video: false, ..BOTH };

/// Words for frames at these milliseconds.
fn words(name: &str, times: impl IntoIterator<Item = i64>) -> String {
    times.into_iter().fold(String::new(), |mut line, at| {
        write!(line, "{name}@{at} ").expect("text grows");
        line
    })
}

/// 25 frames a second: frames `from..to` of 40 ms, a keyframe first.
fn gop25(from: i64, to: i64) -> String {
    format!("I@{} {}", from * 40, words("p", (from + 1..to).map(|frame| frame * 40)))
}

#[test]
fn a_gop_becomes_a_segment() {
    let script = gop25(0, 50) + &gop25(50, 56) + &words("I", [56 * 40]);
    check(
        VIDEO,
        &script,
        "targets 2s 240ms | init 1 | open 100 | 0..240 v6! | 240..480 v6 | 480..720 v6 | \
         720..960 v6 | 960..1200 v6 | 1200..1440 v6 | 1440..1680 v6 | 1680..1920 v6 | \
         1920..2000 v2 | close 2000 | open 101 | 2000..2240 v6! | 2240..2280 v1! | close 280",
    );
}

#[test]
fn a_part_is_closed_by_its_last_frame() {
    // The figure: 10 ms from the last byte of a part's last frame to the part.
    let steps = parse(VIDEO, &gop25(0, 6));
    let mut segmenter = Segmenter::new(
        &Settings::default(),
        &Limits::default(),
        MediaSeq(1),
        crate::hls::frame_script::ZERO,
    );
    let mut out = Vec::new();
    for step in &steps {
        if let Step::Frame(frame) = step {
            segmenter.push(frame, &mut out);
        }
    }
    assert!(text(&out).ends_with(" | open 2 | 0..240 v6!"), "{}", text(&out));
}

#[test]
fn a_foreseen_keyframe_closes_its_segment_early() {
    let script = gop25(0, 50) + &gop25(50, 100) + &gop25(100, 150);
    let steps = parse(VIDEO, &script);
    let mut segmenter = Segmenter::new(
        &Settings::default(),
        &Limits::default(),
        MediaSeq(1),
        crate::hls::frame_script::ZERO,
    );
    let mut out = Vec::new();
    for step in &steps {
        if let Step::Frame(frame) = step {
            segmenter.push(frame, &mut out);
        }
    }
    assert!(matches!(out.last(), Some(Cut::Close { .. })), "{}", text(&out));
}

#[test]
fn short_gops_gather_and_jitter_does_not_matter() {
    let gop =
        |from: i64| format!("I@{from} {}", words("p", (1..12).map(|n| from + n * 40 + n % 2)));
    let script: String = (0..10).map(|n| gop(n * 480 + n % 3)).collect();
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, &script));
    laws(&cuts).expect("lawful");
    let lengths: Vec<i64> =
        closes(&cuts).iter().map(|length| length.as_micros() / 10_000).collect();
    assert_eq!(lengths.first(), Some(&192), "four GOPs of 0.48 s: {lengths:?}");
    assert!(lengths.iter().rev().skip(1).all(|length| (191..=193).contains(length)), "{lengths:?}");
}

// H14: the pictures are the length of a segment, and sound goes into the open part.
#[test]
fn audio_goes_into_the_open_part() {
    // The sound of the last 40 ms comes too late for the part and opens the next, in which no
    // picture is shown.
    let script = "a@-10 I@0 p@40 a@11 a@32 p@80 a@54 a@75 p@120 a@96 p@160 a@118 a@139 p@200 a@160";
    check(
        BOTH,
        script,
        "targets 2s 240ms | init 1 | open 100 | 0..240 v6a8! | 240..241 a1 | close 241",
    );
}

#[test]
fn frames_before_the_first_keyframe_are_dropped() {
    // H54: the first segment begins with the first keyframe.
    let script = format!("p@0 a@5 p@40 a@26 {}", gop25(2, 4));
    check(BOTH, &script, "targets 2s 240ms | init 1 | open 100 | 80..160 v2! | close 80");
}

#[test]
fn a_new_run_is_a_discontinuity() {
    // H35, H36: and waits for its keyframe.
    let script = format!("{} run p@160 {} run {}", gop25(0, 4), gop25(5, 9), gop25(20, 22));
    check(
        VIDEO,
        &script,
        "targets 2s 240ms | init 1 | open 100 | 0..160 v4! | close 160 | \
         open 101 discontinuity | 200..360 v4! | close 160 | \
         open 102 gap | 360..600 gap | 600..800 gap | close 440 | \
         open 103 discontinuity | 800..880 v2! | close 80",
    );
}

#[test]
fn sound_that_comes_before_its_picture_does_not_cut_the_last_one() {
    let script = format!("{} format a@131 {}", gop25(0, 4), gop25(4, 6));
    let line = text(&cuts(&Settings::default(), &Limits::default(), &parse(BOTH, &script)));
    assert!(line.contains("| 0..160 v4! |"), "{line}");
}

#[test]
fn sound_that_outlasts_the_last_picture_makes_no_segment_longer() {
    // H14: the last picture filled its part, and five frames of sound more than it end the broadcast:
    // all are there, and the segment is a frame longer than its pictures at the most.
    let mut frames: Vec<_> = (0..51).map(|n| (n * 21, format!("a@{}", n * 21))).collect();
    frames.extend(
        (0..24).map(|n| (n * 40, format!("{}@{}", if n == 0 { "I" } else { "p" }, n * 40))),
    );
    frames.sort();
    let script: Vec<_> = frames.into_iter().map(|(_, word)| word).collect();
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(BOTH, &script.join(" ")));
    laws(&cuts).expect("lawful");
    let line = text(&cuts);
    assert!(line.ends_with("| 720..960 v6a11 | 960..1000 a7 | close 1000"), "{line}");
}

#[test]
fn a_picture_between_two_breaks_is_shown() {
    // What is shown reaches to 1,440: the second run is dated 285 ms late already.
    let script = format!("{} run I@205 p@245 run I@255 {}", gop25(0, 36), words("p", [295]));
    let line = text(&cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, &script)));
    assert!(line.contains("| 205..246 v2! |"), "{line}");
}

#[test]
fn what_two_encoders_show_has_one_date() {
    // H45, D16: what begins behind a break has its true date, up to a second inside what went
    // before (the last picture is cut short for it), and the breaks that follow give back the rest.
    let dates = |script: &str| -> Vec<i64> {
        let cuts = cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, script));
        laws(&cuts).expect("lawful");
        let starts = cuts.iter().filter_map(|cut| {
            let Cut::Open(start) = cut else { return None };
            start.discontinuity.then_some(start.program_date_time)
        });
        let zero = crate::hls::frame_script::ZERO.unix_millis();
        starts.map(|date| date.unix_millis() - zero).collect()
    };
    let again = |from: i64, to: i64| format!("run {} ", gop25(from, to));
    assert_eq!(dates(&(gop25(0, 36) + &again(16, 40))), [640]);
    let far = gop25(0, 100) + &again(25, 50) + &again(50, 75) + &again(76, 90);
    assert_eq!(dates(&far), [3_011, 3_022, 3_040]);
}

#[test]
fn a_new_format_has_a_new_init_segment() {
    // H35, H39, H40: a new format ends the segment, with a break and a new init segment.
    let script = format!("{} format {}", gop25(0, 4), gop25(4, 6));
    check(
        VIDEO,
        &script,
        "targets 2s 240ms | init 1 | open 100 | 0..160 v4! | close 160 | \
         init 2 | open 101 discontinuity | 160..240 v2! | close 80",
    );
}

#[test]
fn an_encoder_away_is_a_gap() {
    // H37: an encoder that is away is a gap of that length.
    let script = format!("{} gap@1000 gap@2900 run {}", gop25(0, 4), gop25(75, 77));
    check(
        VIDEO,
        &script,
        "targets 2s 240ms | init 1 | open 100 | 0..160 v4! | close 160 | \
         open 101 gap | 160..400 gap | 400..640 gap | 640..880 gap | 880..1120 gap | \
         1120..1360 gap | 1360..1600 gap | 1600..1840 gap | 1840..2080 gap | close 1920 | \
         open 102 gap | 2080..2320 gap | 2320..2560 gap | 2560..2800 gap | 2800..3000 gap | \
         close 920 | open 103 discontinuity | 3000..3080 v2! | close 80",
    );
}

#[test]
fn a_gap_of_half_an_hour_is_cheap() {
    let script = format!("{} gap@1800000 run {}", gop25(0, 4), gop25(50_000, 50_002));
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, &script));
    laws(&cuts).expect("lawful");
    assert!(cuts.len() < 2_300, "{}", cuts.len());
    let script = format!("{} gap@9000000000000", gop25(0, 4));
    let cuts = super::tests::cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, &script));
    assert!(cuts.len() < 10_000, "{}", cuts.len());
}

#[test]
fn nothing_comes_of_nothing() {
    check(BOTH, "", "");
    check(BOTH, "gap@5000 a@0 p@40 gap@9000", "");
    let none = Tracks { video: false, audio: false, rate: None };
    check(none, "I@0 a@0", "");
}

#[test]
fn lost_frames_do_not_break_the_clock() {
    // Ten frames are lost; audio goes on. H52, H73, and the parts keep coming.
    let mut script = gop25(0, 8);
    script += &words("a", (0..40).map(|n| 290 + n * 64 / 3));
    script += &words("p", (26..40).map(|n| n * 40));
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(BOTH, &script));
    laws(&cuts).expect("lawful");
    let line = text(&cuts);
    assert!(line.contains("480..720 a"), "{line}");
    assert!(!line.contains("gap"), "{line}");
}

#[test]
fn sound_without_pictures_is_kept_at_the_end() {
    let script = gop25(0, 6) + "a@220 a@245 a@266";
    check(
        BOTH,
        &script,
        "targets 2s 240ms | init 1 | open 100 | 0..240 v6! | 240..280 a3 | close 280",
    );
}

#[test]
fn pictures_that_pause_for_long_begin_a_new_run() {
    // H35, H36: the first sample after a hole must not span it, whatever the sound did meanwhile.
    let sound = words("a", (0..700).map(|n| 245 + n * 64 / 3));
    let script = gop25(0, 6) + &sound + "I@15200 p@15240";
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(BOTH, &script));
    laws(&cuts).expect("lawful");
    let line = text(&cuts);
    assert!(line.ends_with(" discontinuity | 15200..15280 v2! | close 80"), "{line}");
}

#[test]
fn sound_goes_on_over_a_pause_that_ends_without_a_keyframe() {
    // R27: a screen that stands still for longer than a segment sends no keyframe for its next change.
    let sound = words("a", (0..900).map(|n| 245 + n * 64 / 3));
    let script = gop25(0, 6) + &sound;
    let cuts_of = |script: &str| {
        let cuts = cuts(&Settings::default(), &Limits::default(), &parse(BOTH, script));
        laws(&cuts).expect("lawful");
        text(&cuts)
    };
    let before = cuts_of(&script);
    assert!(!before.contains("gap") && !before.contains("discontinuity"), "{before}");
    let (head, tail) = script.split_at(script.find(" a@15221").expect("sound of that time"));
    let line = cuts_of(&format!("{head} p@15220{tail}"));
    assert!(!line.contains("gap") && !line.contains("discontinuity"), "{line}");
    let frames = |line: &str| -> usize {
        let counts = line.split_whitespace().filter_map(|word| word.rsplit_once('a'));
        counts.filter_map(|(_, count)| count.parse::<usize>().ok()).sum()
    };
    assert_eq!(frames(&line), frames(&before), "{line}");
}

#[test]
fn a_stated_keyframe_interval_makes_the_target() {
    // R24: OBS' 250 frames at 30 a second, known at the first keyframe.
    for (stated, seconds) in [("keyint=250 ", 8), ("keyint=60 ", 2), ("keyint=infinite ", 10)] {
        let maker = Maker::new(VIDEO);
        let steps: Vec<Step> = (0..400)
            .map(|n| {
                let key = n % 250 == 0;
                let payload = if key { stated.as_bytes() } else { b"p" };
                maker.video(MediaTime::from_millis(n * 100 / 3), MediaTime::ZERO, payload, key)
            })
            .collect();
        let cuts = cuts(&Settings::default(), &Limits::default(), &steps);
        laws(&cuts).expect("lawful");
        let Some(Cut::Targets(targets)) = cuts.first() else { panic!("targets first") };
        assert_eq!(targets.segment, Duration::from_secs(seconds), "{stated}");
        let first = closes(&cuts)[0].as_micros() / 1_000;
        let expected = if stated == "keyint=60 " { 1_990..2_010 } else { 8_300..8_370 };
        assert!(expected.contains(&first), "{stated}: {first}");
    }
}

#[test]
fn a_gop_longer_than_the_target_is_cut_without_a_keyframe() {
    // R24, H12, H66: a GOP longer than the target is cut without a keyframe, and stays within it.
    let script = gop25(0, 200) + &gop25(200, 210);
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(VIDEO, &script));
    laws(&cuts).expect("lawful");
    let independent = first_parts(&cuts).iter().map(|part| part.independent).collect::<Vec<_>>();
    assert_eq!(independent, [true, false, false, false, true], "{}", text(&cuts));
}

#[test]
fn audio_alone_is_cut_by_time() {
    let script = words("a", (0..300).map(|n| n * 64 / 3));
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(AUDIO, &script));
    laws(&cuts).expect("lawful");
    assert!(text(&cuts).starts_with(
        "targets 2s 235ms | init 1 | open 100 | 0..234.667 a11! | 234.667..469.333 a11! | "
    ));
    assert_eq!(closes(&cuts)[0], MediaTime::from_micros(2_112_000));
}

#[test]
fn a_part_is_bounded_in_bytes() {
    // R25: a part is bounded in bytes.
    let limits = Limits { gop_bytes_max: 1_000, ..Limits::default() };
    let maker = Maker::new(VIDEO);
    let steps: Vec<Step> = (0..100)
        .map(|n| maker.video(MediaTime::from_millis(n), MediaTime::ZERO, &[0; 400], n == 0))
        .collect();
    for cut in cuts(&Settings::default(), &limits, &steps) {
        if let Cut::Part(part) = cut {
            assert!(part.bytes.len() < 1_200, "{}", part.bytes.len());
        }
    }
}

/// The first part of each segment.
fn first_parts(cuts: &[Cut]) -> Vec<Arc<Part>> {
    let first = |pair: &[Cut]| match pair {
        [Cut::Open(_), Cut::Part(part)] => Some(Arc::clone(part)),
        [..] => None,
    };
    cuts.windows(2).filter_map(first).collect()
}

/// What a part holds is told with it, so that nothing needs to be held twice.
#[test]
fn the_payloads_of_a_part_are_named() {
    let steps = parse(
        BOTH,
        "I@0 a@0 a@21 p@40 a@43 p@80 p@120 p@160 p@200 p@240 p@280 p@320 p@360 p@400 p@440 p@480 p@520",
    );
    let frames = steps.iter().filter_map(|step| match step {
        Step::Frame(frame) => Some(frame.clone()),
        Step::Gap(_) => None,
    });
    let frames: Vec<_> = frames.collect();
    let mut segmenter = Segmenter::new(
        &Settings::default(),
        &Limits::default(),
        MediaSeq(1),
        WallTime::from_unix_millis(0),
    );
    let (mut cuts, mut named) = (Vec::new(), 0);
    for frame in &frames {
        segmenter.push(frame, &mut cuts);
        for stored in segmenter.stored() {
            let frame = frames.iter().find(|frame| stored.is_of(frame)).expect("a frame of ours");
            assert_eq!(stored.payload, frame.payload);
            assert_ne!(stored.payload.as_ptr(), frame.payload.as_ptr());
            named += 1;
        }
    }
    assert!(named > 5, "{named} of {}", frames.len());
}

#[test]
fn a_segment_waits_for_its_keyframe_with_a_shorter_part() {
    // H54, H74: keyframes a little farther apart than the target, and no room for a whole part.
    for (frame, gop, part_millis) in [(20, 101, 500), (40, 60, 250)] {
        let script: Vec<String> = (0..8)
            .map(|n| {
                let frames = n * gop..(n + 1) * gop;
                let words = words("p", frames.skip(1).map(|at| at * frame));
                format!("I@{} {words}", n * gop * frame)
            })
            .collect();
        let settings =
            Settings { part_target: Duration::from_millis(part_millis), ..Settings::default() };
        let cuts = cuts(&settings, &Limits::default(), &parse(VIDEO, &script.join(" ")));
        laws(&cuts).expect("lawful");
        let begins = cuts.windows(2).filter_map(|pair| match pair {
            [Cut::Open(_), Cut::Part(part)] => Some((part.start, part.independent)),
            _ => None,
        });
        // The first interval is known when it is over.
        let known = MediaTime::from_millis(2 * gop * frame);
        let begins: Vec<_> = begins.filter(|(start, _)| known <= *start).collect();
        assert!(begins.len() >= 5 && begins.iter().all(|(_, alone)| *alone), "{}", text(&cuts));
    }
}
