//! What we ask of our own playlists: every rule of the judge, the recommended halves included, and
//! a few habits that the standard leaves open.

use crate::check::{
    Finding, Ledger, Place, Playlist, Segment, judge_delta, judge_playlist, judge_reload,
};

const URL: &str = "live.m3u8";

/// Judges one live media playlist, full or delta. Empty: nothing to object to.
pub fn check_playlist(text: &str) -> Vec<Finding> {
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, text.as_bytes());
    let playlist = Playlist::parse(text);
    habits(&mut ledger, text, &playlist);
    let offered = playlist.low_latency() && playlist.all_tags("EXT-X-SERVER-CONTROL").count() == 1;
    expect(&mut ledger, "H77", offered, || "no low latency is offered".to_owned());
    let last = text.lines().last().unwrap_or_default();
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=";
    let ends = if playlist.ended() { last == "#EXT-X-ENDLIST" } else { last.starts_with(hint) };
    expect(&mut ledger, "H82", ends, || format!("it ends in {last}"));
    ledger.findings().cloned().collect()
}

/// Judges a playlist as a player sees it that knows none of the low-latency tags.
pub fn check_plain(text: &str) -> Vec<Finding> {
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, text.as_bytes());
    let playlist = Playlist::parse(text);
    habits(&mut ledger, text, &playlist);
    let low_latency = text.lines().find(|line| is_low_latency(line));
    expect(&mut ledger, "H88", low_latency.is_none(), || format!("{low_latency:?} is left"));
    let whole = !playlist.segments.is_empty() && playlist.open.tags.is_empty();
    expect(&mut ledger, "H88", whole, || "it does not end with a whole segment".to_owned());
    ledger.findings().cloned().collect()
}

/// What [`check_plain`] judges, made from any playlist: the low-latency tags are left out, and with
/// them the segment that is still being written.
pub fn strip_low_latency(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !is_low_latency(line)).collect();
    let end = |line: &&str| !line.starts_with('#') || *line == "#EXT-X-ENDLIST";
    let whole = lines.iter().rposition(end).map_or(0, |last| last + 1);
    lines.iter().take(whole).map(|line| format!("{line}\n")).collect()
}

fn is_low_latency(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or(line);
    let tags = ["SERVER-CONTROL", "PART-INF", "PART", "PRELOAD-HINT", "RENDITION-REPORT"];
    name.strip_prefix("#EXT-X-").is_some_and(|name| tags.contains(&name))
}

/// Judges what changed from one full version of a playlist to a later one.
pub fn check_reload(previous: &str, next: &str) -> Vec<Finding> {
    let mut ledger = Ledger::default();
    judge_reload(&mut ledger, URL, previous, next);
    let (old, new) = (Playlist::parse(previous), Playlist::parse(next));
    // Parts are numbered through the whole broadcast, so not even a break changes the hint.
    let known = old.parts().last().map(|last| last.uri);
    let mut parts = new.parts().skip_while(|part| Some(part.uri) != known).skip(1);
    if let (Some(hint), Some(next)) = (old.hint("PART"), parts.next()) {
        expect(&mut ledger, "H83", next.uri == hint.uri, || {
            format!("{} was hinted, {} is listed", hint.uri, next.uri)
        });
    }
    ledger.findings().cloned().collect()
}

/// Judges a version with all that comes with it: itself, what changed since `last`, and its delta
/// update.
///
/// # Panics
/// When anything is to be objected to.
pub fn assert_version(last: Option<&str>, text: &str, delta: Option<&str>) {
    let mut findings = check_playlist(text);
    if let Some(last) = last {
        findings.extend(check_reload(last, text));
    }
    if let Some(delta) = delta {
        findings.extend(check_playlist(delta));
        let mut ledger = Ledger::default();
        judge_delta(&mut ledger, URL, last.unwrap_or(text), delta, text);
        findings.extend(ledger.findings().cloned());
    }
    assert!(findings.is_empty(), "{findings:#?}\nbefore:\n{last:?}\nnow:\n{text}");
}

fn expect(ledger: &mut Ledger, rule: &'static str, holds: bool, what: impl FnOnce() -> String) {
    ledger.expect(rule, holds, || (what(), Place::url(URL)));
}

/// Every line is whole; nothing has a type; every segment is dated in UTC to the millisecond and
/// has its length to five digits and more; the first has its init segment.
fn habits(ledger: &mut Ledger, text: &str, playlist: &Playlist<'_>) {
    expect(ledger, "H3", text.ends_with('\n'), || "the last line is cut".to_owned());
    let kind = playlist.value("EXT-X-PLAYLIST-TYPE");
    expect(ledger, "H27", kind.is_none(), || format!("the type {kind:?}"));
    let counted = playlist.tag("EXT-X-DISCONTINUITY-SEQUENCE").is_some();
    expect(ledger, "H34", counted, || "discontinuities are not counted".to_owned());
    let first = playlist.all().next();
    let mapped = first.is_none_or(|first| first.own_map.is_some()) || playlist.skipped > 0;
    expect(ledger, "H39", mapped, || "the first segment names no init segment".to_owned());
    for segment in playlist.all() {
        expect(ledger, "H42", is_dated(segment), || {
            format!("segment {} has the date {:?}", segment.msn, segment.date)
        });
        let length = segment.extinf.and_then(|value| value.split(',').next()).unwrap_or("0.00000");
        let digits = length.split_once('.').map_or(0, |(_, digits)| digits.len());
        expect(ledger, "H13", digits >= 5, || format!("segment {}: {length}", segment.msn));
    }
}

fn is_dated(segment: &Segment<'_>) -> bool {
    let fraction = segment.date.and_then(|date| date.split_once('.')).map(|(_, rest)| rest);
    fraction.is_some_and(|rest| rest.len() == 4 && rest.ends_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=3.0,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI=\"init-1.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
#EXT-X-PART:DURATION=0.50000,URI=\"p1.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI=\"p2.m4s\"
#EXTINF:1.00000,
s7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01.000Z
#EXT-X-PART:DURATION=0.50000,URI=\"p3.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p4.m4s\"
";

    fn rules(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn our_habits_are_asked_for() {
        assert_eq!(check_playlist(CLEAN), []);
        for (rule, what, by) in [
            ("H3", "p4.m4s\"\n", "p4.m4s\""),
            ("H4", "VERSION:6", "VERSION:7"),
            ("H13", "#EXTINF:1.00000", "#EXTINF:1.0"),
            ("H27", "#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP"),
            ("H34", "#EXT-X-DISCONTINUITY-SEQUENCE:0\n", ""),
            ("H39", "#EXT-X-MAP:URI=\"init-1.mp4\"\n", ""),
            ("H42", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01.000Z\n", ""),
            ("H42", "08:00:01.000Z", "08:00:01.000+00:00"),
            ("H77", "#EXT-X-SERVER", "#SERVER"),
            ("H82", "#EXT-X-PRELOAD-HINT:", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT:"),
        ] {
            let broken = CLEAN.replacen(what, by, 1);
            assert_ne!(broken, CLEAN, "{rule}");
            let found = rules(&check_playlist(&broken));
            assert!(found.contains(&rule), "{rule}: {found:?}");
        }
    }

    #[test]
    fn not_even_a_break_changes_the_hint() {
        let next = |part: &str| {
            let more = format!(
                "#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"{part}\"\n#EXT-X-PRELOAD"
            );
            CLEAN.replace("#EXT-X-PRELOAD", &more)
        };
        assert!(!rules(&check_reload(CLEAN, &next("p4.m4s"))).contains(&"H83"));
        assert!(rules(&check_reload(CLEAN, &next("p5.m4s"))).contains(&"H83"));
    }

    #[test]
    fn a_plain_playlist_has_whole_segments_and_no_parts() {
        let plain = strip_low_latency(CLEAN);
        assert_eq!(check_plain(&plain), []);
        assert!(plain.ends_with("#EXTINF:1.00000,\ns7.m4s\n"), "{plain}");
        assert!(rules(&check_plain(CLEAN)).contains(&"H88"));
        let nothing = plain.replace("#EXTINF:1.00000,\ns7.m4s\n", "");
        assert!(rules(&check_plain(&nothing)).contains(&"H88"));
        let ended = strip_low_latency(&format!("{CLEAN}#EXT-X-ENDLIST\n"));
        assert!(ended.ends_with("#EXT-X-ENDLIST\n"), "{ended}");
    }
}
