//! Rules of one media playlist: its head, its segments, its dates.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::look::{FRAME_MICROS, Look, seconds};
use super::playlist::{Playlist, Segment, Tag};
use super::text::{attribute, micros, wall_micros};
use super::words::readable;

/// Tags a playlist has once at the most, the version apart.
const ONCE: &[&str] = &[
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-PART-INF",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-SKIP",
    "EXT-X-START",
    "EXT-X-TARGETDURATION",
];
const OF_MULTIVARIANT: &[&str] = &[
    "EXT-X-CONTENT-STEERING",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-MEDIA",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-STREAM-INF",
];
/// What names fragmented MP4 by its ending.
const FRAGMENTED: &[&str] = &["m4s", "mp4", "m4f", "m4v", "m4a", "cmfv", "cmfa", "cmft"];

/// Judges one media playlist, whole or a delta update.
pub fn judge_playlist(ledger: &mut Ledger, url: &str, body: &[u8]) {
    let Some(text) = readable(ledger, url, body) else { return };
    let playlist = Playlist::parse(text);
    let mut look = Look::new(ledger, url, text);
    look.words();
    look.version(true);
    look.kind(&playlist);
    look.head(&playlist);
    look.segments(&playlist);
    look.maps(&playlist);
    look.dates(&playlist);
    look.date_ranges(&playlist);
    look.end(&playlist);
    look.low_latency(&playlist);
}

impl Look<'_> {
    /// H8: tags of one kind of playlist only, each at most once.
    fn kind(&mut self, playlist: &Playlist<'_>) {
        let mut seen = BTreeSet::new();
        let mut fault: Option<(Tag<'_>, &str)> = None;
        for tag in &playlist.tags {
            if OF_MULTIVARIANT.contains(&tag.name) {
                fault = Some((*tag, "stands in a media playlist"));
            } else if ONCE.contains(&tag.name) && !seen.insert(tag.name) {
                fault = Some((*tag, "stands there again"));
            }
        }
        let line = fault.map_or(0, |(tag, _)| tag.line);
        self.expect("H8", fault.is_none(), line, || {
            fault.map(|(tag, what)| format!("{} {what}", tag.name)).unwrap_or_default()
        });
    }

    fn head(&mut self, playlist: &Playlist<'_>) {
        let target = playlist.tag("EXT-X-TARGETDURATION");
        let line = target.map_or(0, |tag| tag.line);
        self.expect("H10", playlist.target() >= 1_000_000, line, || {
            target.map_or("no target duration".to_owned(), |tag| format!("it is {:?}", tag.value))
        });
        self.order(playlist);
        if playlist.live() {
            let tag = playlist.tag("EXT-X-MEDIA-SEQUENCE");
            self.expect("H17", playlist.media_sequence > 0, tag.map_or(0, |tag| tag.line), || {
                "the first segment has number 0".to_owned()
            });
            let counted = playlist.tag("EXT-X-DISCONTINUITY-SEQUENCE").is_some();
            self.advise("H34", counted, 0, || {
                "a live playlist without EXT-X-DISCONTINUITY-SEQUENCE".to_owned()
            });
        }
        if let Some(kind) = playlist.tag("EXT-X-PLAYLIST-TYPE") {
            let known = ["EVENT", "VOD"].contains(&kind.value);
            self.expect("H27", known, kind.line, || format!("the type {:?}", kind.value));
        }
    }

    /// H15: both sequence numbers come first.
    fn order(&mut self, playlist: &Playlist<'_>) {
        let media = |segment: &Segment<'_>| {
            let tag = segment.tags.iter().find(|tag| ["EXTINF", "EXT-X-PART"].contains(&tag.name));
            tag.map_or(segment.line, |tag| tag.line)
        };
        let all = playlist.segments.iter().chain([&playlist.open]);
        let breaks = all.clone().flat_map(|segment| &segment.tags);
        let first_break = breaks.filter(|tag| tag.name == "EXT-X-DISCONTINUITY").map(|t| t.line);
        let first = playlist.all().next().map_or(usize::MAX, media);
        let limits = [
            ("EXT-X-MEDIA-SEQUENCE", first),
            ("EXT-X-DISCONTINUITY-SEQUENCE", first.min(first_break.min().unwrap_or(usize::MAX))),
        ];
        for (name, limit) in limits {
            let Some(tag) = playlist.tag(name) else { continue };
            self.expect("H15", tag.line < limit, tag.line, || format!("{name} after line {limit}"));
        }
    }

    /// H12: every segment has a length, within the target duration.
    fn segments(&mut self, playlist: &Playlist<'_>) {
        let target = playlist.target();
        for segment in &playlist.segments {
            let (msn, line) = (segment.msn, segment.line);
            self.expect("H12", segment.extinf.is_some(), line, || format!("{msn} has no EXTINF"));
            let rounded = segment.micros().saturating_add(500_000) / 1_000_000 * 1_000_000;
            self.expect("H12", rounded <= target || target == 0, line, || {
                let (is, target) = (seconds(segment.micros()), seconds(target));
                format!("segment {msn} is {is}, the target duration {target}")
            });
        }
    }

    /// H39 and H40: an init segment for what needs one, and a break where it changes.
    fn maps(&mut self, playlist: &Playlist<'_>) {
        let delta = playlist.tag("EXT-X-SKIP").is_some();
        let mut before: Option<&Segment<'_>> = None;
        for segment in playlist.all() {
            let msn = segment.msn;
            let address = if segment.uri.is_empty() {
                segment.parts.first().map_or("", |part| part.uri)
            } else {
                segment.uri
            };
            let unknown = delta && segment.map.is_none();
            if is_fragmented(address) && !segment.gap && !unknown {
                self.expect("H39", segment.map.is_some(), segment.line, || {
                    format!("segment {msn} has no init segment in force")
                });
            }
            if let Some(last) = before
                && (last.map.is_some() || segment.map.is_some())
                && !(delta && last.map.is_none())
            {
                let same = last.map == segment.map || segment.discontinuity;
                self.expect("H40", same, segment.line, || {
                    format!("segment {msn} has another init segment and no discontinuity")
                });
            }
            before = Some(segment);
        }
    }

    fn dates(&mut self, playlist: &Playlist<'_>) {
        let dated = playlist.all().any(|segment| segment.date.is_some());
        if playlist.live() && !playlist.segments.is_empty() {
            self.advise("H42", dated, 0, || "a live playlist without date and time".to_owned());
        }
        if !dated {
            return;
        }
        // Where the next segment starts by the last date and the lengths since, and whether
        // something broke since.
        let mut expected: Option<i64> = None;
        let mut broke = false;
        for segment in playlist.all() {
            let msn = segment.msn;
            broke |= segment.discontinuity;
            if segment.discontinuity {
                self.expect("H44", segment.date.is_some(), segment.line, || {
                    format!("segment {msn} follows a discontinuity and has no date")
                });
            }
            let is = segment.date.and_then(|date| self.date(segment, date));
            if let (Some(is), Some(expected)) = (is, expected) {
                let off = is.saturating_sub(expected);
                self.expect("H45", off > -1_000_000, segment.line, || {
                    format!("segment {msn} goes back by {}", seconds(off))
                });
                if !broke {
                    self.expect("H46", off.saturating_abs() <= FRAME_MICROS, segment.line, || {
                        format!("the date of segment {msn} is {} off", seconds(off))
                    });
                }
            }
            if is.is_some() {
                (expected, broke) = (is, false);
            }
            expected = expected.map(|start| start.saturating_add(segment.micros()));
        }
    }

    /// H43, and the instant.
    fn date(&mut self, segment: &Segment<'_>, date: &str) -> Option<i64> {
        let tag = segment.tags.iter().find(|tag| tag.name == "EXT-X-PROGRAM-DATE-TIME");
        let line = tag.map_or(segment.line, |tag| tag.line);
        let instant = wall_micros(date);
        self.expect("H43", instant.is_some(), line, || format!("{date:?} is no date"));
        let zoned = date.parse::<jiff::Timestamp>().is_ok();
        let fraction = date.split_once('.').map_or("", |(_, rest)| rest);
        let exact = fraction.bytes().take_while(u8::is_ascii_digit).count() >= 3;
        if instant.is_some() {
            self.advise("H43", zoned && exact, line, || {
                format!("{date:?} has no {}", if zoned { "milliseconds" } else { "time zone" })
            });
        }
        instant
    }

    /// H48: an id of its own for every range of dates.
    fn date_ranges(&mut self, playlist: &Playlist<'_>) {
        let mut known = BTreeMap::new();
        for tag in playlist.all_tags("EXT-X-DATERANGE") {
            let id = attribute(tag.value, "ID").unwrap_or_default();
            self.expect("H48", !id.is_empty(), tag.line, || "a date range without id".to_owned());
            let start = attribute(tag.value, "START-DATE").unwrap_or_default();
            let other = *known.entry(id).or_insert(start) != start;
            self.expect("H48", !other, tag.line, || format!("the id {id:?} for two ranges"));
        }
    }

    /// H29: the end is the end.
    fn end(&mut self, playlist: &Playlist<'_>) {
        if playlist.ended() {
            let hint = playlist.tag("EXT-X-PRELOAD-HINT");
            self.expect("H29", hint.is_none(), hint.map_or(0, |tag| tag.line), || {
                "an ended playlist hints at more".to_owned()
            });
        }
    }
}

fn is_fragmented(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.rsplit_once('.').is_some_and(|(_, ending)| FRAGMENTED.contains(&ending))
}

/// An attribute in seconds, where it is sent; -1 for what cannot be read.
pub(super) fn seconds_of(list: &str, name: &str) -> Option<i64> {
    attribute(list, name).map(|value| micros(value).unwrap_or(-1))
}
