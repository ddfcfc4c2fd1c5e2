use m3u8_rs::parse_media_playlist_res;
use proptest::prelude::*;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::{HlsLine, Reader};

use super::super::cut_script::Script;
use super::*;
use crate::testing::delta::apply_delta;
use crate::testing::lint::{check_playlist, check_reload};

fn assert_clean(text: &str) {
    let mut findings = check_playlist(text);
    // H88, a whole segment for players that know no parts, is the segmenter's to keep: it lists
    // missing media before the first part, and a window alone does not.
    findings.retain(|finding| finding.rule != "H88" || text.contains("#EXTINF"));
    assert!(findings.is_empty(), "{findings:#?}\n{text}");
}

fn check(words: &str, expected: &str) {
    let script = Script::new(30).run(words);
    let expected: String = expected.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(script.body(), expected, "{words}");
    assert_clean(&script.full());
}

proptest! {
    /// H7: whatever the length, digits and one dot.
    #[test]
    fn seconds_are_digits_and_a_dot(micros in any::<i64>()) {
        let text = Secs(micros).to_string();
        let (whole, fraction) = text.split_once('.').unwrap();
        prop_assert!(!whole.is_empty() && whole.len() <= 20 && fraction.len() == 6, "{}", text);
        prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{}", text);
        prop_assert_eq!(text.replace('.', "").parse::<i64>().unwrap(), micros.max(0));
    }
}

// H3, H4, H10, H17, H34, H66, H72, H77, H78, H79: the head to the letter; independent
// segments are not claimed.
#[test]
fn the_head_of_a_live_playlist() {
    let text = Script::new(30).run("S").full();
    let head: Vec<_> = text.lines().take(7).collect();
    assert_eq!(
        head,
        [
            "#EXTM3U",
            "#EXT-X-VERSION:6",
            "#EXT-X-TARGETDURATION:2",
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.000000,PART-HOLD-BACK=0.750000",
            "#EXT-X-PART-INF:PART-TARGET=0.250000",
            "#EXT-X-MEDIA-SEQUENCE:100",
            "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        ]
    );
}

// H39, H42, H43, H75, H76, H82: the open segment has its tags before its first part.
#[test]
fn one_whole_segment_and_the_next_begun() {
    check(
        "I250 p250 p120 / I",
        "#EXT-X-MAP:URI=\"init-1.mp4\"
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
         #EXT-X-PART:DURATION=0.250000,URI=\"p1.m4s\",INDEPENDENT=YES
         #EXT-X-PART:DURATION=0.250000,URI=\"p2.m4s\"
         #EXT-X-PART:DURATION=0.120000,URI=\"p3.m4s\"
         #EXTINF:0.620000,
         s100.m4s
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.620Z
         #EXT-X-PART:DURATION=0.250000,URI=\"p4.m4s\",INDEPENDENT=YES
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p5.m4s\"",
    );
}

// H35, H37, H40, H44: missing media is listed, and a new format breaks the timeline.
#[test]
fn a_gap_and_a_new_format() {
    check(
        "I / ! g / + I /",
        "#EXT-X-MAP:URI=\"init-1.mp4\"
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
         #EXT-X-PART:DURATION=0.250000,URI=\"p1.m4s\",INDEPENDENT=YES
         #EXTINF:0.250000,
         s100.m4s
         #EXT-X-DISCONTINUITY
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.250Z
         #EXT-X-PART:DURATION=0.250000,URI=\"p2.m4s\",GAP=YES
         #EXT-X-GAP
         #EXTINF:0.250000,
         s101.m4s
         #EXT-X-DISCONTINUITY
         #EXT-X-MAP:URI=\"init-2.mp4\"
         #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.500Z
         #EXT-X-PART:DURATION=0.250000,URI=\"p3.m4s\",INDEPENDENT=YES
         #EXTINF:0.250000,
         s102.m4s
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p4.m4s\"",
    );
}

// W9: the plain form lists the whole segments alone, with all that belongs to them.
#[test]
fn the_plain_form_has_whole_segments_only() {
    let mut script = Script::new(30).run("S ! G + S S ! + I p");
    let whole = Script::new(30).run("S ! G + S S").full();
    let expected: String = whole
        .lines()
        .filter(|line| !line.contains("PART") && !line.contains("SERVER-CONTROL"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(without_parts(&script.full()), expected);
    let listed = m3u8_rs::parse_media_playlist_res(expected.as_bytes()).expect("a playlist");
    assert_eq!(listed.segments.len(), 4);
    script.window.finish(script.now);
    let last = without_parts(&script.full());
    assert!(last.ends_with("s104.m4s\n#EXT-X-ENDLIST\n"), "{last}");
}

// H29: the final playlist ends in its tag, and offers nothing more.
#[test]
fn the_final_playlist_ends() {
    let mut script = Script::new(30).run("S S I p");
    script.window.finish(script.now);
    let text = script.full();
    assert!(text.ends_with("#EXTINF:0.500000,\ns102.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    assert_clean(&text);
    assert_eq!(script.delta(), None);
}

// H29: a segment that was opened and never got a part was never listed.
#[test]
fn an_empty_open_segment_is_not_in_the_final_playlist() {
    let mut script = Script::new(30).run("S");
    let before = script.full();
    script.window.finish(script.now);
    let text = script.full();
    assert!(text.ends_with("s100.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    assert_eq!(check_reload(&before, &text), []);
}

// H24, H89: three target durations of parts, counted from the end of the playlist.
#[test]
fn parts_are_listed_for_three_target_durations() {
    let listed = |words: &str| {
        let text = Script::new(30).run(words).full();
        assert_clean(&text);
        let first = text.lines().find(|line| line.starts_with("#EXT-X-PART:")).expect("a part");
        first.split('"').nth(1).expect("a name").to_owned()
    };
    assert_eq!(listed("S S S S"), "p1.m4s");
    assert_eq!(listed("S S S S I"), "p9.m4s");
    assert_eq!(listed("S S S S S"), "p9.m4s");
    assert_eq!(listed("S S S S S I"), "p17.m4s");
}

// H80, H81: only a playlist that grows longer than two minutes offers delta updates, from its
// first version on.
#[test]
fn delta_updates_are_offered_for_long_windows() {
    for (span, offered) in [(30, false), (120, false), (121, true), (14_400, true)] {
        let text = Script::new(span).run("S").full();
        assert_eq!(text.contains(",CAN-SKIP-UNTIL=12.000000,"), offered, "{span}");
        assert_clean(&text);
    }
}

// H102: six target durations stay, the rest is counted.
#[test]
fn a_delta_update_skips_what_ended_before_the_boundary() {
    let script = Script::new(300).run(&"S ".repeat(7));
    assert_eq!(script.delta(), None);
    let script = script.run("I");
    let delta = script.delta().expect("a delta update");
    assert!(delta.contains("#EXT-X-VERSION:9\n"), "{delta}");
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-PROGRAM-DATE"), "{delta}");
    assert!(!delta.contains("EXT-X-MAP"), "the player has the init segment: {delta}");
    assert_clean(&delta);
    let previous = Script::new(300).run(&"S ".repeat(7)).full();
    assert_eq!(apply_delta(&previous, &delta).as_deref(), Ok(script.full().as_str()));
}

// H102: the same while the window slides and breaks leave it.
#[test]
fn a_delta_update_applies_to_a_sliding_window() {
    let mut script = Script::new(121).run("S ! S + S S S S S S");
    let mut previous = script.full();
    for _ in 0..70 {
        script = script.run("S");
        let delta = script.delta().expect("a delta update");
        assert_eq!(apply_delta(&previous, &delta).as_deref(), Ok(script.full().as_str()));
        previous = script.full();
    }
    assert!(previous.contains("DISCONTINUITY-SEQUENCE:2\n"), "{previous}");
}

// H48: the date of the end of the service; moving it makes another range.
#[test]
fn the_closing_date_is_a_date_range() {
    let mut script = Script::new(30).run("S");
    script.closing = Some(Closing { at: WallTime::from_unix_millis(1_617_260_400_000) });
    let text = script.full();
    assert!(
        text.contains(
            "#EXT-X-DATERANGE:ID=\"closing-1617260400000\",CLASS=\"ghostlight.closing\",\
             START-DATE=\"2021-04-01T07:00:00.000Z\"\n"
        ),
        "{text}"
    );
    assert_clean(&text);
}

// H78: whatever the part target is, three times its printed value is not more than the hold back.
#[test]
fn the_hold_back_is_three_printed_part_targets() {
    for nanos in [250_000_000, 266_666_667, 333_333_333, 200_200_200, 1] {
        let printed = Secs::ceil(Duration::from_nanos(nanos));
        assert!(u128::try_from(printed.0).unwrap() * 1_000 >= u128::from(nanos));
    }
}

/// Reads a playlist back with two foreign parsers and compares what they understood.
fn read_back(text: &str) {
    let all = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, all);
    let (mut uris, mut unknown) = (Vec::new(), Vec::new());
    while let Some(line) = reader.read_line().expect("valid lines") {
        match line {
            HlsLine::Uri(uri) => uris.push(uri.into_owned()),
            HlsLine::UnknownTag(tag) => unknown.push(format!("{tag:?}")),
            HlsLine::KnownTag(_) | HlsLine::Comment(_) | HlsLine::Blank => {}
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    let other = parse_media_playlist_res(text.as_bytes()).expect("a media playlist");
    let others: Vec<_> = other.segments.iter().map(|segment| segment.uri.clone()).collect();
    assert_eq!(others, uris);
    let dated = other.segments.iter().all(|segment| segment.program_date_time.is_some());
    assert!(dated, "{text}");
    let named = |msn: u64| MediaName::Segment(crate::base::MediaSeq(msn)).to_string();
    let names: Vec<_> = (other.media_sequence..).map(named).take(uris.len()).collect();
    assert_eq!(uris, names);
}

/// One step of a broadcast's life as words of the script, kept within what a segmenter promises:
/// no segment above the target duration, no part below 85 % of the part target unless excused.
fn history() -> impl Strategy<Value = Vec<&'static str>> {
    let step = prop_oneof![
        12 => Just("S"),
        6 => Just("p"),
        4 => Just("p213"),
        3 => Just("I"),
        2 => Just("I100"),
        4 => Just("/"),
        1 => Just("p40 /"),
        1 => Just("/ ! G"),
        1 => Just("/ ! g40 /"),
        1 => Just("/ +"),
        1 => Just("/ !"),
        1 => Just("daterange"),
        1 => Just("short"),
        1 => Just("long"),
    ];
    proptest::collection::vec(step, 1..90)
}

/// Plays a history and calls `each` with the script and the full text of every version.
fn play(span: u64, history: &[&'static str], mut each: impl FnMut(&Script, &str)) {
    let mut script = Script::new(span);
    for step in history {
        match *step {
            "daterange" => {
                script.closing =
                    Some(Closing { at: WallTime::from_unix_millis(4_102_444_800_000) });
            }
            "short" => script.window.limit_span(Duration::from_secs(18), script.now),
            "long" => script.window.limit_span(Duration::MAX, script.now),
            words => {
                for word in words.split(' ') {
                    if script.open_millis() > 1_750 || (script.is_open() && "S+!G".contains(word)) {
                        script.word("/");
                    }
                    script.word(word);
                }
            }
        }
        each(&script, &script.full());
    }
    script.window.finish(script.now);
    each(&script, &script.full());
    each(&script, &script.full());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    // H2-H8, H10, H11, H15-H18, H20, H21, H27, H29, H34, H41, H83: no version of random
    // histories, nor any change, breaks a rule. H88: foreign readers take some of them.
    #[test]
    fn every_version_and_every_change_is_clean(history in history(), span in 2_u64..40) {
        let mut last: Option<String> = None;
        play(span, &history, |script, text| {
            if script.window.edge().last_msn().is_none() {
                return;
            }
            assert_clean(text);
            if let Some(last) = &last {
                let findings = check_reload(last, text);
                assert!(findings.is_empty(), "{findings:#?}\n{last}\n{text}");
            }
            last = Some(text.to_owned());
        });
        if let Some(last) = last {
            read_back(&last);
        }
    }

    // H101, H102: a delta update and any earlier version that is recent enough make the full text.
    #[test]
    fn a_delta_update_applies(history in history(), age in 1_usize..20) {
        let mut versions: Vec<String> = Vec::new();
        play(121, &history, |script, text| {
            if let Some(delta) = script.delta() {
                assert_clean(&delta);
                let mut known = versions.iter().rev().skip(age - 1);
                if let Some(previous) = known.next()
                    && let Ok(made) = apply_delta(previous, &delta)
                {
                    assert_eq!(made, text);
                }
                assert_eq!(apply_delta(text, &delta).as_deref(), Ok(text));
            }
            versions.push(text.to_owned());
        });
    }
}

// H84 (draft-pantos-hls-rfc8216bis B.1): the next part needs an init segment that nothing listed
// needs yet.
#[test]
fn a_new_init_segment_is_hinted() {
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init-2.mp4\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,";
    assert!(!Script::new(30).run("S").full().contains("TYPE=MAP"));
    assert!(Script::new(30).run("S +").full().contains(hint));
    assert!(!Script::new(30).run("S + I").full().contains("TYPE=MAP"));
}
