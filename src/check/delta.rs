use std::collections::BTreeSet;

use super::ledger::Ledger;
use super::look::Look;
use super::playlist::{Playlist, Resource, Segment, Tag};
use super::text::attribute;

/// Tags in which a delta update differs from the whole playlist.
const OF_UPDATES: &[&str] = &["EXT-X-VERSION", "EXT-X-SKIP"];

/// Judges a delta update (draft-pantos-hls-rfc8216bis 6.2.5.1): what `known`, an earlier whole
/// version, and `delta` make together must be `full`, the version that the update stands for.
pub fn judge_delta(ledger: &mut Ledger, url: &str, known: &str, delta: &str, full: &str) {
    let (old, update, whole) =
        (Playlist::parse(known), Playlist::parse(delta), Playlist::parse(full));
    let mut look = Look::new(ledger, url, delta);
    let skips = update.all_tags("EXT-X-SKIP").count();
    let line = update.tag("EXT-X-SKIP").map_or(0, |tag| tag.line);
    look.expect("H102", skips == 1 && update.skipped > 0, line, || {
        format!("{skips} tags that skip {} segments", update.skipped)
    });
    if skips == 1 {
        look.head_of_update(&update, &whole);
        look.merged(&old, &update, &whole, line);
        look.removed_ranges(&old, &update, &whole);
    }
}

impl Look<'_> {
    /// All tags of the playlist are in its update.
    fn head_of_update(&mut self, update: &Playlist<'_>, whole: &Playlist<'_>) {
        // An update that skips date ranges may leave out those the player has.
        let ranges = update.attribute("EXT-X-SKIP", "RECENTLY-REMOVED-DATERANGES").is_some();
        let counts = |tag: &&Tag<'_>| {
            !(OF_UPDATES.contains(&tag.name) || ranges && tag.name == "EXT-X-DATERANGE")
        };
        let words = |tag: &Tag<'_>| (tag.name.to_owned(), tag.value.to_owned());
        let mut is: Vec<_> = update.tags.iter().filter(counts).map(words).collect();
        let mut due: Vec<_> = whole.tags.iter().filter(counts).map(words).collect();
        is.sort_unstable();
        due.sort_unstable();
        // Both are sorted: the first pair that differs holds a tag that the other lacks.
        let pairs = due.iter().zip(&is).find(|(due, is)| due != is);
        let longer = if is.len() < due.len() { due.get(is.len()) } else { is.get(due.len()) };
        let other = pairs.map(|(due, is)| due.min(is)).or(longer);
        self.expect("H102", is == due, 0, || {
            let (name, value) = other.cloned().unwrap_or_default();
            format!("the update and the whole playlist differ in {name}:{value}")
        });
    }

    fn merged(
        &mut self,
        old: &Playlist<'_>,
        update: &Playlist<'_>,
        whole: &Playlist<'_>,
        line: usize,
    ) {
        let first = update.media_sequence;
        let kept = first.saturating_add(update.skipped);
        // A player that lacks a skipped segment asks for the whole playlist.
        let known = old.segments.iter().filter(|s| (first..kept).contains(&s.msn));
        if u64::try_from(known.clone().count()) != Ok(update.skipped) {
            return;
        }
        let map = known.clone().next_back().and_then(|segment| segment.map.clone());
        let all: Vec<_> = known.chain(update.all()).collect();
        let due: Vec<_> = whole.all().collect();
        let fault = all.iter().zip(&due).find(|(is, due)| {
            let inherited =
                if is.msn >= kept && is.map.is_none() { map.as_ref() } else { is.map.as_ref() };
            !agree(is, due, inherited)
        });
        let same_length = all.len() == due.len();
        self.expect("H102", fault.is_none() && same_length, line, || match fault {
            Some((is, due)) => format!("segment {} becomes {}, it is {}", due.msn, is.uri, due.uri),
            None => format!("the update makes {} segments, there are {}", all.len(), due.len()),
        });
    }

    /// H103: date ranges that left are named where they may be skipped.
    fn removed_ranges(&mut self, old: &Playlist<'_>, update: &Playlist<'_>, whole: &Playlist<'_>) {
        let named = update.attribute("EXT-X-SKIP", "RECENTLY-REMOVED-DATERANGES");
        let Some(named) = named else {
            return self.ledger.not_applicable("H103", "no update skips date ranges");
        };
        let id = |tag: Tag<'_>| attribute(tag.value, "ID").unwrap_or_default().to_owned();
        let still: BTreeSet<_> = whole.all_tags("EXT-X-DATERANGE").map(id).collect();
        let named: BTreeSet<_> = named.split('\t').collect();
        let mut gone = old.all_tags("EXT-X-DATERANGE").map(id).filter(|id| !still.contains(id));
        let unnamed = gone.find(|id| !named.contains(id.as_str()));
        let line = update.tag("EXT-X-SKIP").map_or(0, |tag| tag.line);
        self.expect("H103", unnamed.is_none(), line, || {
            format!("the date range {} left unnamed", unnamed.unwrap_or_default())
        });
    }
}

/// Its bytes follow those of a segment that the update leaves out, so that the update by itself
/// does not say where they begin.
fn goes_on_alike(is: &Segment<'_>, due: &Segment<'_>) -> bool {
    let stated = |segment: &Segment<'_>| -> Option<String> {
        let tag = segment.tags.iter().find(|tag| tag.name == "EXT-X-BYTERANGE")?;
        Some(tag.value.to_owned())
    };
    is.range.is_none() && stated(is).is_some_and(|range| Some(range) == stated(due))
}

fn agree(is: &Segment<'_>, due: &Segment<'_>, map: Option<&Resource<'_>>) -> bool {
    is.uri == due.uri
        && (is.range == due.range || goes_on_alike(is, due))
        && (is.msn, is.micros(), is.gap, is.discontinuity)
            == (due.msn, due.micros(), due.gap, due.discontinuity)
        && (is.date == due.date || due.date.is_none())
        && map == due.map.as_ref()
        && (due.parts.is_empty()
            || due.parts.iter().map(|p| p.uri).eq(is.parts.iter().map(|p| p.uri)))
}
