use std::collections::{BTreeMap, BTreeSet};

use super::finding::Place;
use super::ledger::Ledger;
use super::look::{Look, seconds};
use super::playlist::{Part, Playlist, Segment, Tag};
use super::text::{attribute, wall_micros};

/// Tags that a live playlist never changes.
const FIXED: &[&str] = &["EXT-X-PART-INF", "EXT-X-SERVER-CONTROL", "EXT-X-VERSION", "EXT-X-START"];

/// Judges what changed from one whole version of a media playlist to a later one.
pub fn judge_reload(ledger: &mut Ledger, url: &str, before: &str, now: &str) {
    let (old, new) = (Playlist::parse(before), Playlist::parse(now));
    let mut look = Look::new(ledger, url, now);
    look.fixed(&old, &new);
    if old.ended() {
        look.expect("H29", before == now, 0, || "an ended playlist has changed".to_owned());
        return;
    }
    let Some(count) = look.removed(&old, &new) else { return };
    look.counted(&old, &new, count);
    look.left(&old, &new, count);
    if look.in_order(&old, &new, count) {
        look.kept(&old, &new, count);
    }
    look.parts_leave_in_order(&old, &new);
    look.date_ranges_stay(&old, &new);
    look.hinted(&old, &new);
}

impl Look<'_> {
    fn same(&mut self, rule: &'static str, was: Option<Tag<'_>>, is: Option<Tag<'_>>, name: &str) {
        let value = |tag: Option<Tag<'_>>| tag.map(|tag| tag.value.to_owned());
        let holds = value(was) == value(is);
        let before = was.map(|tag| format!("#{name}:{}", tag.value)).unwrap_or_default();
        self.expect_kept(rule, holds, (is.map_or(0, |tag| tag.line), &before), || {
            let word = |tag| value(tag).unwrap_or_else(|| "absent".to_owned());
            format!("{name} was {} and is {}", word(was), word(is))
        });
    }

    /// What stays as it is for the life of the playlist: H11, H18, H28, H66.
    fn fixed(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let target = "EXT-X-TARGETDURATION";
        self.same("H11", old.tag(target), new.tag(target), target);
        for name in FIXED {
            self.same("H18", old.tag(name), new.tag(name), name);
        }
        let kind = "EXT-X-PLAYLIST-TYPE";
        self.same("H28", old.tag(kind), new.tag(kind), kind);
        if old.tag("EXT-X-INDEPENDENT-SEGMENTS").is_some() {
            let kept = new.tag("EXT-X-INDEPENDENT-SEGMENTS").is_some();
            self.expect("H66", kept, 0, || "EXT-X-INDEPENDENT-SEGMENTS has gone".to_owned());
        }
    }

    /// H16: how many segments left at the head; none where numbers went wrong.
    fn removed(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) -> Option<usize> {
        let line = new.tag("EXT-X-MEDIA-SEQUENCE").map_or(0, |tag| tag.line);
        let (was, is) = (old.media_sequence, new.media_sequence);
        let before = format!("#EXT-X-MEDIA-SEQUENCE:{was}");
        let risen = is.checked_sub(was).and_then(|n| usize::try_from(n).ok());
        self.expect_kept("H16", risen.is_some(), (line, &before), || {
            format!("the media sequence fell from {was} to {is}")
        });
        let count = risen?;
        // The first segment that both versions list, by its address, has one number in both.
        let numbered = new.segments.first().is_none_or(|first| {
            let by_number =
                old.segments.get(count).or((count == old.segments.len()).then_some(&old.open));
            let known = old.segments.iter().find(|segment| segment.is_where(first));
            known.is_none_or(|known| {
                known.msn == first.msn || by_number.is_some_and(|there| there.is_where(first))
            })
        });
        self.expect_kept("H16", numbered, (line, &before), || {
            let first = new.segments.first().map_or("", |segment| segment.uri);
            format!("{first} had another number before")
        });
        numbered.then_some(count)
    }

    /// H34: the discontinuities that left are counted.
    fn counted(&mut self, old: &Playlist<'_>, new: &Playlist<'_>, count: usize) {
        let name = "EXT-X-DISCONTINUITY-SEQUENCE";
        let number =
            |tag: Option<Tag<'_>>| tag.and_then(|t| t.value.parse::<u64>().ok()).unwrap_or(0);
        let (was, is) = (number(old.tag(name)), number(new.tag(name)));
        let gone = old.segments.iter().chain([&old.open]).take(count);
        let broken = gone.filter(|segment| segment.discontinuity).count();
        let exact = is.checked_sub(was) == u64::try_from(broken).ok();
        // Of a jump past all that was known only the direction can be judged.
        let holds = if count <= old.segments.len() { exact } else { is >= was };
        let line = new.tag(name).map_or(0, |tag| tag.line);
        self.expect_kept("H34", holds, (line, &format!("#{name}:{was}")), || {
            format!("it was {was} and is {is}; {broken} discontinuities left")
        });
    }

    /// H21 and H27: what may leave at all, and how much stays.
    fn left(&mut self, old: &Playlist<'_>, new: &Playlist<'_>, count: usize) {
        if let Some(kind) = old.tag("EXT-X-PLAYLIST-TYPE") {
            let grown = new.segments.len() != old.segments.len();
            self.expect("H27", count == 0 && !(kind.value == "VOD" && grown), kind.line, || {
                format!("a playlist of type {} lost or gained segments", kind.value)
            });
        }
        if count == 0 {
            return;
        }
        let (length, target) = (new.length(), new.target());
        self.expect("H21", length >= target.saturating_mul(3), 0, || {
            format!("{} are left, less than three target durations", seconds(length))
        });
        let whole = new.segments.len();
        self.advise("H21", whole >= 6, 0, || format!("{whole} segments are left"));
    }

    /// H20: what is missing is missing at the head.
    fn in_order(&mut self, old: &Playlist<'_>, new: &Playlist<'_>, count: usize) -> bool {
        let stay: Vec<_> = old.segments.iter().skip(count).collect();
        let place = |segment: &Segment<'_>| {
            let range = segment.range.as_ref().map(|range| (range.start, range.end));
            (segment.uri.to_owned(), range)
        };
        let places: BTreeSet<_> = new.segments.iter().map(place).collect();
        let in_place = |was: &Segment<'_>| new.at(was.msn).is_some_and(|is| is.is_where(was));
        let there = |was: &Segment<'_>| in_place(was) || places.contains(&place(was));
        let first_there = stay.iter().position(|was| there(was));
        let missing = first_there.and_then(|first| stay.iter().skip(first).find(|was| !there(was)));
        // A segment that got another address is not one that left: its neighbours keep their place.
        let moved = missing.is_some_and(|was| {
            let next = stay.iter().find(|segment| segment.msn == was.msn.saturating_add(1));
            let place = new.at(was.msn);
            match (next, place) {
                (Some(next), Some(place)) => next.is_where(place),
                (None, place) => place.is_none(),
                (Some(_), None) => true,
            }
        });
        let (line, uri) = missing.map_or((0, ""), |was| (was.line, was.uri));
        self.expect_kept("H20", !moved, (0, uri), || {
            format!("{uri} left from the middle; it was on line {line}")
        });
        !moved
    }

    /// H18 and H41: what stays, stays as it was.
    fn kept(&mut self, old: &Playlist<'_>, new: &Playlist<'_>, count: usize) {
        let mut restated = true;
        for was in old.all().skip(count) {
            let msn = was.msn;
            let is = new.at(msn);
            let listed = is.is_some() || was.extinf.is_none() && was.parts.is_empty();
            self.expect_segment("H18", listed, (0, was), || {
                format!("segment {msn} is no longer listed")
            });
            let Some(is) = is else { continue };
            if restated {
                restated = false;
                let lost = |was: bool, is: bool| was && !is;
                let fine = !lost(was.map.is_some(), is.map.is_some())
                    && !lost(was.key.is_some(), is.key.is_some());
                self.expect_segment("H41", fine, (is.line, was), || {
                    format!("segment {msn} has lost its init segment or key")
                });
                if !fine {
                    return;
                }
            }
            self.unchanged(was, is);
        }
    }

    fn unchanged(&mut self, was: &Segment<'_>, is: &Segment<'_>) {
        let msn = was.msn;
        // Metadata may leave, and the first segment left may restate its date
        // (draft-pantos-hls-rfc8216bis 6.2.1).
        let redated = was.date.zip(is.date).is_some_and(|(was, is)| was != is);
        let tags = !redated
            && (&was.map, was.key, was.discontinuity) == (&is.map, is.key, is.discontinuity);
        self.expect_segment("H18", tags, (is.line, was), || {
            format!("the tags of segment {msn} changed")
        });
        if was.extinf.is_some() {
            let same = (was.uri, &was.range, was.micros(), was.gap)
                == (is.uri, &is.range, is.micros(), is.gap);
            self.expect_segment("H18", same, (is.line, was), || format!("segment {msn} changed"));
        }
        self.expect_segment("H18", parts_stay(was, is), (is.line, was), || {
            format!("the parts of segment {msn} changed")
        });
    }

    /// H20: no part leaves before an earlier one.
    fn parts_leave_in_order(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let mut kept: Option<u64> = None;
        for was in old.all().filter(|was| !was.parts.is_empty()) {
            let Some(is) = new.at(was.msn) else { continue };
            if !is.parts.is_empty() {
                kept = kept.or(Some(is.msn));
            }
            let early = is.parts.is_empty() && kept.is_some();
            self.expect("H20", !early, is.line, || {
                format!("the parts of segment {} left before earlier ones", is.msn)
            });
        }
    }

    /// H48: a date range stays while a segment is listed that it touches, and its id is its own.
    fn date_ranges_stay(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let first = new.all().find_map(|segment| wall_micros(segment.date?));
        let mut listed = BTreeMap::new();
        for is in new.all_tags("EXT-X-DATERANGE") {
            listed.entry(attribute(is.value, "ID")).or_insert(is);
        }
        for was in old.all_tags("EXT-X-DATERANGE") {
            let id = attribute(was.value, "ID");
            let start = |tag: Tag<'_>| attribute(tag.value, "START-DATE").and_then(wall_micros);
            let is = listed.get(&id).copied();
            let begins = start(was);
            let due = begins.zip(first).is_some_and(|(start, first)| start >= first);
            let holds = is.map_or(!due, |is| start(is) == begins);
            self.expect_kept("H48", holds, (is.map_or(0, |tag| tag.line), was.value), || {
                format!(
                    "the date range {} {}",
                    id.unwrap_or("without id"),
                    match is {
                        Some(_) => "has moved",
                        None => "left before its segments",
                    }
                )
            });
        }
    }

    /// H83 and H84: the first new part is the hinted one, and its init segment was hinted too.
    fn hinted(&mut self, old: &Playlist<'_>, new: &Playlist<'_>) {
        let (Some(hint), Some(last)) = (old.hint("PART"), old.parts().last()) else { return };
        let known = |part: &Part<'_>| part.uri == last.uri && part.range == last.range;
        let mut parts = new
            .all()
            .flat_map(|segment| segment.parts.iter().map(move |part| (segment, part)))
            .skip_while(|(_, part)| !known(part));
        let Some((last_in, _)) = parts.next() else { return };
        let Some((segment, part)) = parts.next() else { return };
        let start =
            |range: &Option<std::ops::Range<u64>>| range.as_ref().map_or(0, |range| range.start);
        let same = part.uri == hint.uri && start(&part.range) == start(&hint.range);
        // What the draft forbids is to list another part and serve the hinted one as well; whether
        // it is served only a request can tell. A change of what comes next is a break or a gap.
        let excused = segment.discontinuity || part.gap;
        self.expect_kept("H83", same || excused, (part.line, hint.uri), || {
            format!("{} was hinted, {} is listed", hint.uri, part.uri)
        });
        if same && segment.map != last_in.map {
            let fine =
                old.hint("MAP").map(|map| map.uri) == segment.map.as_ref().map(|map| map.uri);
            self.ledger.advise("H84", fine, || {
                let place = Place::line(self.url, part.line, part.uri);
                (format!("the init segment of {} was not hinted", part.uri), place)
            });
        }
    }
}

/// Parts leave from the head, and come only while their segment is open.
fn parts_stay(was: &Segment<'_>, is: &Segment<'_>) -> bool {
    let Some(first) = is.parts.first() else { return is.extinf.is_some() };
    let whole = was.extinf.is_some();
    let Some(gone) = was.parts.iter().position(|part| part.is_same(first)) else {
        return was.parts.is_empty() && !whole;
    };
    let stay = was.parts.iter().skip(gone);
    let grown = is.parts.len() > stay.len();
    is.parts.len() >= stay.len()
        && stay.zip(&is.parts).all(|(was, is)| was.is_same(is))
        && !(whole && grown)
}
