use super::super::cut_script::{FIRST_MSN, Script};
use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn is_media(found: &Found) -> bool {
    matches!(found, Found::Media(_))
}

// H16, H20, H21: the playlist slides by whole segments and keeps its length.
#[test]
fn the_window_slides_over_the_configured_length() {
    let script = Script::new(30).run(&"S ".repeat(15));
    assert_eq!(script.window.media_sequence(), MediaSeq(FIRST_MSN));
    let script = script.run("S S");
    assert_eq!(script.window.media_sequence(), MediaSeq(FIRST_MSN + 2));
    assert_eq!(script.window.duration(), secs(30));
}

// H21: at least six segments and three target durations stay, however short the window.
#[test]
fn a_short_window_keeps_six_segments_and_three_targets() {
    let script = Script::new(1).run(&"S ".repeat(20));
    assert_eq!((script.window.segment_count(), script.window.duration()), (6, secs(12)));
    let script = Script::new(1).run(&"I I / ".repeat(40));
    assert_eq!((script.window.segment_count(), script.window.duration()), (12, secs(6)));
}

// Of segments that end a frame early no window lists one more, nor is anything kept for it.
#[test]
fn the_playlist_is_as_long_as_whole_segments_come_near_to_its_span() {
    let script = Script::new(12).run(&"I p p p p p p p217 / ".repeat(20));
    assert_eq!(script.window.duration(), Duration::from_millis(11_802));
    let script = Script::new(17).run(&"S ".repeat(20));
    assert_eq!(script.window.duration(), secs(18), "not shorter where both are as near");
}

// H34: a break that leaves the playlist is counted, and no other.
#[test]
fn a_dropped_discontinuity_is_counted() {
    let script = Script::new(1).run("S ! S + S S S S S");
    assert_eq!(script.window.discontinuity_sequence(), 0);
    let script = script.run("S");
    assert_eq!(script.window.discontinuity_sequence(), 1);
    let script = script.run("S S S S");
    assert_eq!(script.window.discontinuity_sequence(), 2);
}

// H22: first listing + its length + the longest playlist that held it.
#[test]
fn a_dropped_segment_stays_fetchable() {
    let mut script = Script::new(12).run(&"S ".repeat(7));
    assert_eq!(script.window.media_sequence(), MediaSeq(FIRST_MSN + 1));
    let first = MediaSeq(FIRST_MSN);
    // Listed at 2 s; 2 s long; the playlist was 14 s long for a moment before it lost it.
    script.window.expire(MonoTime::ZERO + Duration::from_millis(17_999));
    assert!(is_media(&script.window.find_segment(first)));
    assert!(is_media(&script.window.find_part(1)));
    script.window.expire(MonoTime::ZERO + secs(18));
    assert!(matches!(script.window.find_segment(first), Found::Gone));
    assert!(matches!(script.window.find_part(1), Found::Gone));
    assert!(is_media(&script.window.find_segment(first.next())), "listed segments stay");
}

// H23: three target durations after the tag left.
#[test]
fn a_part_stays_fetchable_after_its_tag_left() {
    let mut script = Script::new(1).run(&"S ".repeat(7));
    // The parts of the first segment left when the fifth began, at 8.25 s.
    script.window.expire(MonoTime::ZERO + Duration::from_millis(14_250));
    assert!(is_media(&script.window.find_part(1)));
}

// H108, H106, H107: what is listed is there, the hinted part comes, all else is unknown.
#[test]
fn names_are_found() {
    let window = Script::new(30).run("S ! G + I p").window;
    let Found::Media(chunks) = window.find_segment(MediaSeq(FIRST_MSN)) else {
        panic!("the segment is listed");
    };
    assert_eq!(chunks.len(), 8);
    let Found::Media(nothing) = window.find_segment(MediaSeq(FIRST_MSN + 1)) else {
        panic!("missing media is a segment without samples");
    };
    assert_eq!(*nothing, [EMPTY_SEGMENT]);
    assert!(matches!(window.find_segment(MediaSeq(FIRST_MSN + 2)), Found::Unknown));
    assert!(matches!(window.find_segment(MediaSeq(1)), Found::Gone));
    assert!(is_media(&window.find_part(1)));
    assert!(matches!(window.find_part(9), Found::Gap));
    assert!(is_media(&window.find_part(18)));
    assert!(matches!(window.find_part(19), Found::Next));
    assert!(matches!(window.find_part(20), Found::Unknown));
    assert!(matches!(window.find_part(0), Found::Unknown));
    assert_eq!(window.find_init(1).map(|init| init.version), Some(1));
    assert_eq!(window.find_init(2).map(|init| init.version), Some(2));
    assert!(window.find_init(0).is_none() && window.find_init(3).is_none());
}

// H53: a segment is its parts, byte for byte, and never copied.
#[test]
fn a_segment_is_its_parts() {
    let window = Script::new(30).run("S").window;
    let Found::Media(chunks) = window.find_segment(MediaSeq(FIRST_MSN)) else {
        panic!("the segment is listed");
    };
    for (number, chunk) in (1..).zip(chunks.iter()) {
        let Found::Media(part) = window.find_part(number) else { panic!("part {number}") };
        assert_eq!(part.first().map(|bytes| bytes.as_ptr()), Some(chunk.as_ptr()));
    }
}

// H39, H41: an init segment lives as long as a segment needs it.
#[test]
fn init_segments_leave_with_their_last_segment() {
    let mut script = Script::new(1).run("S + S S S S S S S");
    script.window.expire(MonoTime::ZERO + secs(1_000));
    assert!(script.window.find_init(1).is_none());
    assert_eq!(script.window.find_init(2).map(|init| init.version), Some(2));
}

// R25: the byte limit is kept by dropping the oldest first, down to the floor of the playlist.
#[test]
fn bytes_are_accounted_and_bounded() {
    let script = Script::with_bytes(30, 1_000, 10_000_000).run(&"S ".repeat(10));
    assert_eq!(script.window.bytes(), 80_100);
    let mut script = Script::with_bytes(1_000, 1_000, 100_000);
    for _ in 0..100 {
        script.word("S");
        assert!(!script.window.is_over_budget(), "{}", script.window.bytes());
    }
    assert!(script.window.segment_count() >= 6);
    let script = Script::with_bytes(1_000, 1_000, 40_000).run(&"S ".repeat(8));
    assert!(script.window.is_over_budget(), "six segments hold 48,000 bytes");
    assert_eq!(script.window.segment_count(), 6);
}

#[test]
fn a_limited_span_shrinks_at_once_and_grows_back() {
    let mut script = Script::new(60).run(&"S ".repeat(40));
    assert_eq!(script.window.duration(), secs(60));
    let bytes = script.window.bytes();
    script.window.limit_span(secs(20), script.now);
    assert_eq!(script.window.duration(), secs(20));
    assert!(script.window.bytes() * 2 < bytes, "what left the playlist is freed");
    script.window.limit_span(Duration::MAX, script.now);
    let script = script.run(&"S ".repeat(40));
    assert_eq!(script.window.duration(), secs(60));
}

// House rule: the floor is what is left of a window that is trimmed as far as it may be.
#[test]
fn the_floor_is_what_no_limit_takes() {
    for words in
        ["", "I p", "S S I", "S S S S S S I p", "I/ I/ I/ I/ I/ I/ S S S I", "S G S S G S S S I"]
    {
        let mut script = Script::new(60).run(words);
        let floor = script.window.floor_bytes();
        script.window.limit_span(Duration::ZERO, script.now);
        assert_eq!(floor, script.window.bytes(), "{words}");
        script.window.finish(script.now);
        assert_eq!(script.window.floor_bytes(), 0, "{words}");
    }
}

#[test]
fn cuts_after_the_end_change_nothing() {
    let mut script = Script::new(30).run("S");
    script.window.finish(script.now);
    let text = script.full();
    assert_eq!(script.run("S S").full(), text);
}

#[test]
fn the_edge_follows_the_cuts() {
    let edge = |words: &str| Script::new(30).run(words).window.edge();
    let first = MediaSeq(FIRST_MSN);
    assert_eq!(edge(""), Edge { closed: None, open: None, next_part: 1 });
    assert_eq!(edge("I"), Edge { closed: None, open: Some((first, 1)), next_part: 2 });
    assert_eq!(edge("S"), Edge { closed: Some((first, 8)), open: None, next_part: 9 });
    let begun = Some((first.next(), 2));
    assert_eq!(edge("S I p"), Edge { closed: Some((first, 8)), open: begun, next_part: 11 });
}
