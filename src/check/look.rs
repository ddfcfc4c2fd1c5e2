use std::cell::OnceCell;

use super::finding::Place;
use super::ledger::Ledger;
use super::playlist::Segment;

/// Longest frame that stated times are compared with: 20 frames a second.
pub(super) const FRAME_MICROS: i64 = 50_000;

/// A judge's desk: the text that is looked at, and where findings go.
pub(super) struct Look<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) url: &'a str,
    pub(super) text: &'a str,
    /// Made for the first finding: a bad playlist of megabytes has many.
    lines: OnceCell<Vec<&'a str>>,
}

impl<'a> Look<'a> {
    pub(super) fn new(ledger: &'a mut Ledger, url: &'a str, text: &'a str) -> Self {
        Self { ledger, url, text, lines: OnceCell::new() }
    }

    /// The place of a line, quoted; line 0 is the playlist as a whole.
    pub(super) fn place(&self, line: usize) -> Place {
        let lines = self.lines.get_or_init(|| self.text.lines().collect());
        let found = line.checked_sub(1).and_then(|index| lines.get(index));
        found.map_or_else(|| Place::url(self.url), |text| Place::line(self.url, line, text))
    }

    /// Only a finding needs one, and to find the line takes time.
    fn place_unless(&self, holds: bool, line: usize) -> Place {
        if holds { Place::default() } else { self.place(line) }
    }

    pub(super) fn expect(
        &mut self,
        rule: &'static str,
        holds: bool,
        line: usize,
        what: impl FnOnce() -> String,
    ) {
        let place = self.place_unless(holds, line);
        self.ledger.expect(rule, holds, || (what(), place));
    }

    /// The same for the recommended half of a rule.
    pub(super) fn advise(
        &mut self,
        rule: &'static str,
        holds: bool,
        line: usize,
        what: impl FnOnce() -> String,
    ) {
        let place = self.place_unless(holds, line);
        self.ledger.advise(rule, holds, || (what(), place));
    }

    /// The same, with the line of an earlier version or of another rendition beside it.
    pub(super) fn expect_kept(
        &mut self,
        rule: &'static str,
        holds: bool,
        (line, before): (usize, &str),
        what: impl FnOnce() -> String,
    ) {
        let place = self.place_unless(holds, line);
        self.ledger.expect(rule, holds, || (what(), place.before(before)));
    }

    /// The same, with the lines of the segment as it was.
    pub(super) fn expect_segment(
        &mut self,
        rule: &'static str,
        holds: bool,
        (line, was): (usize, &Segment<'_>),
        what: impl FnOnce() -> String,
    ) {
        let before = if holds { String::new() } else { tag_lines(was) };
        self.expect_kept(rule, holds, (line, &before), what);
    }
}

/// A length for people.
pub(super) fn seconds(micros: i64) -> String {
    let (sign, size) =
        if micros < 0 { ("-", micros.unsigned_abs()) } else { ("", micros.unsigned_abs()) };
    format!("{sign}{}.{:06} s", size / 1_000_000, size % 1_000_000)
}

/// The lines of a segment's tags as they stand in the playlist, parts left out.
fn tag_lines(segment: &Segment<'_>) -> String {
    let tags = segment.tags.iter().filter(|tag| tag.name != "EXT-X-PART");
    let mut lines: Vec<_> = tags.map(|tag| format!("#{}:{}", tag.name, tag.value)).collect();
    lines.push(segment.uri.to_owned());
    lines.join("\n")
}
