//! A judge of live media playlists: the mechanical rules of draft-pantos-hls-rfc8216bis and of
//! the authoring specification, for one playlist ([`check_playlist`]) and for two versions of it
//! ([`check_reload`]). It shares no code with the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::delta::apply_delta;
use super::playlist::{Part, Playlist, Segment, attributes, micros};

/// A rule broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's number, such as `H12`.
    pub rule: &'static str,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Longest frame that times are compared with: 20 frames a second.
const FRAME_MICROS: i64 = 50_000;
const MEDIA_PLAYLIST_TAGS: &[&str] = &[
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-SKIP",
    "EXT-X-ENDLIST",
];

/// Judges one live media playlist, full or delta. Empty: nothing to object to.
pub fn check_playlist(text: &str) -> Vec<Finding> {
    let mut judge = Judge::default();
    let playlist = Playlist::parse(text);
    judge.text(text);
    judge.head(text, &playlist);
    judge.segments(&playlist);
    judge.parts(&playlist);
    judge.low_latency(text, &playlist);
    judge.findings
}

/// Judges a playlist as a player sees it that knows none of the low-latency tags.
pub fn check_plain(text: &str) -> Vec<Finding> {
    let mut judge = Judge::default();
    let playlist = Playlist::parse(text);
    judge.text(text);
    judge.head(text, &playlist);
    judge.segments(&playlist);
    let low_latency = text.lines().find(|line| is_low_latency(line));
    judge.expect("H88", low_latency.is_none(), || format!("{low_latency:?} is left"));
    let whole = !playlist.segments.is_empty() && playlist.open.lines.is_empty();
    judge.expect("H88", whole, || "it does not end with a whole segment".to_owned());
    judge.findings
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
    let mut judge = Judge::default();
    let (old, new) = (Playlist::parse(previous), Playlist::parse(next));
    if old.has("EXT-X-ENDLIST") {
        judge.expect("H29", previous == next, || "a final playlist has changed".to_owned());
        return judge.findings;
    }
    for tag in ["EXT-X-TARGETDURATION", "EXT-X-PART-INF", "EXT-X-SERVER-CONTROL", "EXT-X-VERSION"] {
        let (was, is) = (old.tag(tag), new.tag(tag));
        judge.expect("H11", was == is, || format!("{tag} was {was:?} and is {is:?}"));
    }
    judge.removed(&old, &new);
    judge.kept(&old, &new);
    judge.hinted(&old, &new);
    judge.findings
}

/// Judges a version with all that comes with it: itself, what changed since `last`, and its delta
/// update, which must make of `last` what `text` says.
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
        assert_eq!(apply_delta(last.unwrap_or(text), delta).as_deref(), Ok(text));
    }
    assert!(findings.is_empty(), "{findings:#?}\nbefore:\n{last:?}\nnow:\n{text}");
}

#[derive(Default)]
struct Judge {
    findings: Vec<Finding>,
}

impl Judge {
    fn expect(&mut self, rule: &'static str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(Finding { rule, what: what() });
        }
    }

    fn text(&mut self, text: &str) {
        let control = |c: char| c.is_control() && c != '\n' && c != '\r';
        self.expect("H2", !text.contains(control), || "a control character".to_owned());
        self.expect("H2", !text.starts_with('\u{feff}'), || "a byte order mark".to_owned());
        self.expect("H3", text.starts_with("#EXTM3U\n"), || "does not start with #EXTM3U".into());
        self.expect("H3", text.ends_with('\n'), || "the last line is cut".to_owned());
        for line in text.lines().filter(|line| line.starts_with("#EXT")) {
            let Some((name, list)) = line.split_once(':') else { continue };
            let closed = line.matches('"').count() % 2 == 0;
            self.expect("H6", closed, || format!("a quote stays open: {line}"));
            self.number(name, list.split(',').next().unwrap_or_default());
            if !list.contains('=') || name.ends_with("DATE-TIME") {
                continue;
            }
            let mut names = BTreeSet::new();
            for (name, value) in attributes(list) {
                let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
                let good = !name.is_empty() && name.bytes().all(plain) && !value.contains(' ');
                self.expect("H5", good, || format!("attribute {name} in {line}"));
                self.number(name, value);
                self.expect("H5", names.insert(name.to_owned()), || {
                    format!("{name} twice: {line}")
                });
            }
        }
    }

    /// A tag or attribute that is a number is one in the few characters that numbers may have.
    fn number(&mut self, name: &str, value: &str) {
        const INTEGERS: [&str; 6] = [
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-DISCONTINUITY-SEQUENCE",
            "#EXT-X-BITRATE",
            "SKIPPED-SEGMENTS",
        ];
        const FLOATS: [&str; 6] =
            ["#EXTINF", "DURATION", "PART-TARGET", "HOLD-BACK", "PART-HOLD-BACK", "CAN-SKIP-UNTIL"];
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let good = if INTEGERS.contains(&name) {
            digits(value) && value.len() <= 20
        } else if FLOATS.contains(&name) {
            let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
            digits(whole) && digits(fraction)
        } else {
            return;
        };
        self.expect("H7", good, || format!("{name} is {value:?}"));
    }

    fn head(&mut self, text: &str, playlist: &Playlist<'_>) {
        let mut count: BTreeMap<&str, u32> = BTreeMap::new();
        for tag in &playlist.tags {
            *count.entry(tag.split(':').next().unwrap_or(tag)).or_default() += 1;
        }
        for (tag, times) in &count {
            let once = *times == 1 || !MEDIA_PLAYLIST_TAGS.contains(tag);
            self.expect("H8", once, || format!("{tag} {times} times"));
            let media = !tag.contains("STREAM-INF") && *tag != "EXT-X-MEDIA";
            self.expect("H8", media, || format!("{tag} in a media playlist"));
        }
        let skips = count.contains_key("EXT-X-SKIP");
        let version = if skips { "9" } else { "6" };
        let found = playlist.tag("EXT-X-VERSION");
        self.expect("H4", found == Some(version), || format!("{found:?} instead of {version}"));
        self.expect("H10", playlist.target() >= 1_000_000, || "no target duration".to_owned());
        self.expect("H17", playlist.media_sequence > 0, || "media sequence 0".to_owned());
        let sequence =
            playlist.tag("EXT-X-DISCONTINUITY-SEQUENCE").and_then(|n| n.parse::<u64>().ok());
        self.expect("H34", sequence.is_some(), || "no discontinuity sequence".to_owned());
        self.expect("H27", !playlist.has("EXT-X-PLAYLIST-TYPE"), || "a playlist type".to_owned());
        let first_segment =
            text.find("\n#EXT-X-PROGRAM").or(text.find("#EXTINF")).unwrap_or(text.len());
        let before = text.get(..first_segment).unwrap_or_default();
        for tag in ["EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"] {
            self.expect("H15", before.contains(tag), || format!("{tag} after a segment"));
        }
        let mut ids = BTreeSet::new();
        for tag in playlist.tags.iter().filter_map(|tag| tag.strip_prefix("EXT-X-DATERANGE:")) {
            let found: BTreeMap<_, _> = attributes(tag).collect();
            let id = found.get("ID").copied().unwrap_or_default();
            self.expect("H48", !id.is_empty() && ids.insert(id), || format!("date range {tag}"));
        }
    }

    fn segments(&mut self, playlist: &Playlist<'_>) {
        let target = playlist.target();
        let mut before: Option<&Segment<'_>> = None;
        for segment in playlist.all() {
            let msn = segment.msn;
            let whole = segment.extinf.is_some() || segment.uri.is_empty();
            self.expect("H10", whole, || format!("segment {msn} has no EXTINF"));
            let rounded = (segment.micros() + 500_000) / 1_000_000 * 1_000_000;
            self.expect("H12", rounded <= target, || {
                format!("segment {msn} is {} us", segment.micros())
            });
            let number = segment.extinf.and_then(|v| v.split(',').next()).unwrap_or("0.00000");
            let decimals = number.split_once('.').map_or(0, |(_, d)| d.len());
            let exact = decimals >= 5 && micros(number).is_some();
            self.expect("H13", exact, || format!("segment {msn}: EXTINF {number}"));
            let first = before.is_none() && playlist.skipped == 0;
            let mapped = if first { segment.own_map } else { segment.map };
            let known = mapped.is_some() || playlist.skipped > 0;
            self.expect("H39", known, || format!("segment {msn} has no init segment in force"));
            self.date(before, segment);
            if let Some(last) = before {
                let same = last.map == segment.map || segment.discontinuity;
                self.expect("H40", same, || format!("new init without discontinuity at {msn}"));
            }
            before = Some(segment);
        }
    }

    fn date(&mut self, before: Option<&Segment<'_>>, segment: &Segment<'_>) {
        let msn = segment.msn;
        let Some(date) = segment.date else {
            return self.expect("H42", false, || format!("segment {msn} has no date"));
        };
        let fraction = date.split_once('.').map_or("", |(_, rest)| rest);
        let zoned = fraction.len() == 4 && fraction.ends_with('Z');
        self.expect("H43", zoned, || format!("segment {msn}: {date}"));
        let Some((last, starts)) = before.and_then(|last| Some((last, wall_micros(last.date?)?)))
        else {
            return;
        };
        let Some(is) = wall_micros(date) else {
            return self.expect("H43", false, || format!("segment {msn}: {date}"));
        };
        let off = is - (starts + last.micros());
        if segment.discontinuity {
            self.expect("H45", off > -1_000_000, || format!("segment {msn} goes back {off} us"));
        } else {
            self.expect("H46", off.abs() <= FRAME_MICROS, || {
                format!("segment {msn} is {off} us off")
            });
        }
    }

    fn parts(&mut self, playlist: &Playlist<'_>) {
        let target = playlist.micros("EXT-X-PART-INF", "PART-TARGET").unwrap_or(0);
        let whole: i64 = playlist.segments.iter().map(Segment::micros).sum();
        let end = whole + playlist.open.parts_micros();
        let mut ends_at = 0;
        let parts: Vec<&Part<'_>> = playlist.all().flat_map(|segment| &segment.parts).collect();
        self.expect("H72", parts.is_empty() || target > 0, || "parts without PART-INF".to_owned());
        for part in &parts {
            let good = (0..=target).contains(&part.micros);
            self.expect("H73", good, || format!("{} is {} us", part.uri, part.micros));
        }
        for segment in playlist.all() {
            ends_at += segment.micros();
            let recent = segment.extinf.is_none() || end - ends_at <= 3 * playlist.target();
            let listed = !segment.parts.is_empty();
            self.expect("H24", recent || !listed, || format!("parts of {}", segment.msn));
            self.part_lengths(segment, target);
            if listed && segment.extinf.is_some() && !segment.gap {
                let off = segment.parts_micros() - segment.micros();
                let near = off.abs() <= FRAME_MICROS;
                self.expect("H53", near, || format!("parts of {} are {off} us off", segment.msn));
            }
            let first_part = segment.lines.iter().position(|l| l.starts_with("#EXT-X-PART:"));
            let late = segment.lines.iter().skip(first_part.unwrap_or(usize::MAX)).any(|line| {
                ["#EXT-X-DISC", "#EXT-X-MAP", "#EXT-X-PROGRAM"].iter().any(|t| line.starts_with(t))
            });
            self.expect("H76", !late, || format!("a tag after a part of {}", segment.msn));
        }
    }

    /// A part is at least 85 % of the target unless something excuses it.
    fn part_lengths(&mut self, segment: &Segment<'_>, target: i64) {
        for (i, part) in segment.parts.iter().enumerate() {
            let next = segment.parts.get(i + 1);
            let excused = part.independent || part.gap || next.is_none_or(|next| next.gap);
            let long = part.micros * 100 >= target * 85;
            self.expect("H74", long || excused, || format!("{} is {} us", part.uri, part.micros));
        }
    }

    fn low_latency(&mut self, text: &str, playlist: &Playlist<'_>) {
        let control = playlist.attributes("EXT-X-SERVER-CONTROL");
        let target = playlist.target();
        let blocks = control.get("CAN-BLOCK-RELOAD") == Some(&"YES");
        self.expect("H77", blocks, || "no blocking reload".to_owned());
        let part = playlist.micros("EXT-X-PART-INF", "PART-TARGET").unwrap_or(0);
        let seconds = |name: &str| control.get(name).map(|value| micros(value).unwrap_or(-1));
        let part_hold = seconds("PART-HOLD-BACK").unwrap_or(-1);
        self.expect("H78", part_hold >= 3 * part && part > 0, || format!("{part_hold} us"));
        let hold = seconds("HOLD-BACK").unwrap_or(i64::MAX);
        self.expect("H79", hold >= 3 * target, || format!("HOLD-BACK {hold} us"));
        let skip = seconds("CAN-SKIP-UNTIL");
        self.expect("H80", skip.is_none_or(|s| s >= 6 * target), || format!("{skip:?} us"));
        let ranges = !control.contains_key("CAN-SKIP-DATERANGES") || skip.is_some();
        self.expect("H81", ranges, || "date ranges are skipped but no segments".to_owned());
        let last = text.lines().last().unwrap_or_default();
        if playlist.has("EXT-X-ENDLIST") {
            let clean = !playlist.has("EXT-X-PRELOAD-HINT") && last == "#EXT-X-ENDLIST";
            self.expect("H29", clean, || format!("a final playlist ends in {last}"));
        } else {
            let hints = last.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=");
            self.expect("H82", hints, || format!("an open playlist ends in {last}"));
            for kind in ["PART", "MAP"] {
                let count = text.matches(&format!("#EXT-X-PRELOAD-HINT:TYPE={kind},")).count();
                self.expect("H82", count <= 1, || format!("{count} hints of type {kind}"));
            }
        }
        if playlist.has("EXT-X-SKIP") {
            let known = playlist.skipped > 0 && skip.is_some();
            self.expect("H102", known, || "a skip of nothing, or not offered".to_owned());
            let rest: i64 = playlist.segments.iter().map(Segment::micros).sum();
            let rest = rest + playlist.open.parts_micros();
            self.expect("H102", rest >= skip.unwrap_or(0), || format!("only {rest} us are left"));
        }
    }

    fn removed(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let risen = new.media_sequence.checked_sub(old.media_sequence);
        let Some(count) = risen.and_then(|n| usize::try_from(n).ok()) else {
            return self.expect("H16", false, || "media sequence went back".to_owned());
        };
        if count == 0 {
            let (was, is) = (old.segments.first(), new.segments.first());
            let same = is.is_none() || was.is_none_or(|was| is.is_some_and(|is| is.uri == was.uri));
            self.expect("H16", same, || "another first segment, the same number".to_owned());
        }
        let gone = old.segments.iter().chain([&old.open]).take(count);
        let broken = gone.filter(|segment| segment.discontinuity).count();
        let sequence = |p: &Playlist<'_>| -> u64 {
            p.tag("EXT-X-DISCONTINUITY-SEQUENCE").and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let (was, is) = (sequence(old), sequence(new));
        let exact = is.checked_sub(was) == u64::try_from(broken).ok();
        let seen_all = count <= old.segments.len();
        let holds = if seen_all { exact } else { is >= was };
        self.expect("H34", holds, || format!("{was} became {is}, {broken} tags left"));
        if count > 0 {
            let length: i64 = new.segments.iter().map(Segment::micros).sum();
            let enough = length >= 3 * new.target() && new.segments.len() >= 6;
            self.expect("H21", enough, || format!("{length} us are left"));
        }
    }

    fn kept(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let by_msn: BTreeMap<u64, &Segment<'_>> = new.all().map(|s| (s.msn, s)).collect();
        let last = by_msn.keys().last().copied().unwrap_or(0);
        for was in old.all().filter(|segment| segment.msn >= new.media_sequence) {
            let msn = was.msn;
            let Some(is) = by_msn.get(&msn) else {
                self.expect("H18", false, || format!("segment {msn} has gone, the last is {last}"));
                continue;
            };
            let same = |a: &Segment<'_>| {
                (a.map.map(str::to_owned), a.discontinuity, a.date.map(str::to_owned))
            };
            self.expect("H18", same(was) == same(is), || format!("the tags of {msn} changed"));
            if was.extinf.is_some() {
                let same = (was.uri, was.extinf, was.gap) == (is.uri, is.extinf, is.gap);
                self.expect("H18", same, || format!("segment {msn} changed"));
            }
            let left = is.parts.is_empty() && is.extinf.is_some();
            let grown = is.parts.starts_with(&was.parts);
            self.expect("H18", left || grown, || format!("the parts of {msn} changed"));
            let reopened = was.extinf.is_some() && is.parts.len() > was.parts.len();
            self.expect("H18", !reopened, || format!("a part was added to {msn}, which was whole"));
        }
    }

    /// The first part that is new was the hinted one.
    fn hinted(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let hint = old.hinted_part().unwrap_or_default();
        let last = old.all().flat_map(|s| &s.parts).last().map(|part| part.uri);
        let Some(last) = last else { return };
        let mut parts = new.all().flat_map(|s| &s.parts).skip_while(|part| part.uri != last);
        if parts.next().is_none() {
            return;
        }
        if let Some(part) = parts.next() {
            self.expect("H83", part.uri == hint, || format!("{hint} hinted, {} listed", part.uri));
        }
    }
}

/// Microseconds of an RFC 3339 instant in UTC with milliseconds.
fn wall_micros(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
