use std::collections::BTreeMap;

use super::finding::Place;
use super::ledger::Ledger;
use super::look::{FRAME_MICROS, Look, seconds};
use super::playlist::Playlist;
use super::text::{attribute, resolve, wall_micros};

/// How far the same break may lie apart in two renditions.
const BREAK_MICROS: i64 = 500_000;

/// Judges the media playlists of one presentation beside each other: address and text of each,
/// fetched at about the same time.
pub fn judge_renditions(ledger: &mut Ledger, all: &[(&str, &str)]) {
    let parsed: Vec<_> =
        all.iter().map(|(url, text)| (*url, *text, Playlist::parse(text))).collect();
    let Some(((first_url, _, first), others)) = parsed.split_first() else { return };
    if others.is_empty() {
        for rule in ["H38", "H47", "H65", "H67", "H85", "H86"] {
            ledger.not_applicable(rule, "there is one rendition");
        }
    }
    for (url, text, playlist) in others {
        let mut look = Look::new(ledger, url, text);
        look.shared(first_url, first, playlist);
        look.breaks(first, playlist);
        look.dates_agree(first, playlist);
    }
    for (url, text, playlist) in &parsed {
        let rest = parsed.iter().filter(|(other, ..)| other != url);
        let rest: Vec<_> = rest.map(|(url, _, playlist)| (*url, playlist)).collect();
        if playlist.low_latency() && !playlist.ended() {
            Look::new(ledger, url, text).reports(&rest);
        }
    }
}

impl Look<'_> {
    /// H65: one target duration, one server control.
    fn shared(&mut self, first_url: &str, first: &Playlist<'_>, other: &Playlist<'_>) {
        for name in ["EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL"] {
            let (there, here) = (first.tag(name), other.tag(name));
            let same = there.map(|tag| tag.value) == here.map(|tag| tag.value);
            let before = there.map_or(String::new(), |tag| format!("#{name}:{}", tag.value));
            self.expect_kept("H65", same, (here.map_or(0, |tag| tag.line), &before), || {
                format!("{name} differs from {first_url}")
            });
        }
    }

    /// H38: a break of one is a break of the other, with the same number.
    fn breaks(&mut self, first: &Playlist<'_>, other: &Playlist<'_>) {
        let (mut ours, theirs) = (breaks(other), breaks(first));
        ours.sort_by_key(|(number, at, _)| (*at, *number));
        let Some((start, end)) = span(other) else { return };
        for (number, at, _) in &theirs {
            if !(start.saturating_add(BREAK_MICROS)..=end).contains(at) {
                continue;
            }
            let here = nearest(&ours, *at);
            let line = here.map_or(0, |(.., line)| *line);
            self.expect(
                "H38",
                here.is_some_and(|(here, ..)| here == number),
                line,
                || match here {
                    Some((here, ..)) => format!("discontinuity {here} here is {number} in another"),
                    None => format!("discontinuity {number} of another rendition is missing here"),
                },
            );
        }
    }

    /// H47: the same segment has the same date. Numbers need not agree between renditions, so only
    /// what is closer than half a segment is taken for the same.
    fn dates_agree(&mut self, first: &Playlist<'_>, other: &Playlist<'_>) {
        for segment in other.all() {
            let Some(there) = first.at(segment.msn) else { continue };
            let dates = segment.date.and_then(wall_micros).zip(there.date.and_then(wall_micros));
            let Some((here, there_at)) = dates else { continue };
            let off = here.saturating_sub(there_at);
            if off.saturating_abs() >= segment.micros() / 2 || segment.extinf.is_none() {
                continue;
            }
            let before = there.date.unwrap_or_default();
            self.expect_kept(
                "H47",
                off.saturating_abs() <= FRAME_MICROS,
                (segment.line, before),
                || {
                    format!(
                        "segment {} is dated {} off another rendition",
                        segment.msn,
                        seconds(off)
                    )
                },
            );
        }
    }

    /// H85: where each other rendition has come to.
    fn reports(&mut self, others: &[(&str, &Playlist<'_>)]) {
        let path = |url: &str| url.split(['?', '#']).next().unwrap_or(url).to_owned();
        let own = Playlist::parse(self.text);
        let mut reports = BTreeMap::new();
        for tag in own.all_tags("EXT-X-RENDITION-REPORT") {
            let uri = attribute(tag.value, "URI").unwrap_or_default();
            reports.entry(path(&resolve(self.url, uri))).or_insert(tag);
        }
        for (url, other) in others {
            let report = reports.get(&path(url)).copied();
            let line = report.map_or(0, |tag| tag.line);
            let value = |name| report.and_then(|t| attribute(t.value, name)).map(str::parse::<u64>);
            let last = other.all().last().map_or(other.media_sequence, |segment| segment.msn);
            let near =
                value("LAST-MSN").is_some_and(|msn| msn.is_ok_and(|msn| msn.abs_diff(last) <= 1));
            let place = || (self.place(line), format!("{url} is at segment {last}"));
            let broken = match report {
                None => Some("is not reported"),
                Some(_) if !near => Some("is reported elsewhere"),
                Some(_) if value("LAST-PART").is_none() && other.low_latency() => {
                    Some("is reported without part")
                }
                Some(_) => None,
            };
            let (place, told) =
                if broken.is_some() { place() } else { (Place::default(), String::new()) };
            self.ledger.expect("H85", broken.is_none(), || {
                (format!("{url} {}", broken.unwrap_or_default()), place.before(&told))
            });
        }
    }
}

/// Number, date and line of every break that is listed and dated.
fn breaks(playlist: &Playlist<'_>) -> Vec<(u64, i64, usize)> {
    let first = playlist.value("EXT-X-DISCONTINUITY-SEQUENCE").and_then(|n| n.parse().ok());
    let mut number: u64 = first.unwrap_or(0);
    let mut found = Vec::new();
    for segment in playlist.all().filter(|segment| segment.discontinuity) {
        number = number.saturating_add(1);
        let date = segment.date.and_then(wall_micros);
        found.extend(date.map(|date| (number, date, segment.line)));
    }
    found
}

/// The break of those, sorted by date, that is nearest to a date, if one is near.
fn nearest(sorted: &[(u64, i64, usize)], at: i64) -> Option<&(u64, i64, usize)> {
    let after = sorted.partition_point(|(_, here, _)| *here < at);
    let around = sorted.iter().skip(after.saturating_sub(1)).take(2);
    let nearest = around.min_by_key(|(_, here, _)| here.abs_diff(at))?;
    Some(nearest).filter(|(_, here, _)| here.abs_diff(at) <= BREAK_MICROS.unsigned_abs())
}

/// From the first date to the last.
fn span(playlist: &Playlist<'_>) -> Option<(i64, i64)> {
    let mut dates = playlist.all().filter_map(|segment| wall_micros(segment.date?));
    let first = dates.next()?;
    Some((first, dates.last().unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks at these milliseconds, the first with number 1.
    fn playlist(breaks: impl Iterator<Item = u32>) -> String {
        let segment = |millis: u32| {
            let (seconds, millis) = (millis / 1_000, millis % 1_000);
            let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            let date = format!("2026-11-21T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z");
            format!("#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:1,\ns.ts\n")
        };
        let first = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T00:00:00Z\n#EXTINF:1,\ns.ts\n";
        format!("#EXTM3U\n{first}{}", breaks.map(segment).collect::<String>())
    }

    fn is_broken(here: &str, there: &str) -> bool {
        let mut ledger = Ledger::default();
        judge_renditions(&mut ledger, &[("http://h/a", there), ("http://h/b", here)]);
        ledger.findings().any(|finding| finding.rule == "H38")
    }

    /// H38: where breaks are close together, each is compared with the nearest.
    #[test]
    fn a_break_is_compared_with_the_nearest_of_another_rendition() {
        let there = playlist([5_000, 5_300, 9_000].into_iter());
        for (here, broken) in [
            ([5_000, 5_300, 9_000], false),
            ([5_100, 5_350, 9_400], false),
            ([5_000, 7_000, 9_000], true),
            ([5_000, 5_300, 9_600], true),
        ] {
            assert_eq!(is_broken(&playlist(here.into_iter()), &there), broken, "{here:?}");
        }
    }
}
