use crate::check::Ledger;
use crate::check::Place;

/// A ledger, opened at the place that is looked at.
#[derive(Debug)]
pub(super) struct Scale<'a> {
    pub(super) ledger: &'a mut Ledger,
    url: &'a str,
}

impl<'a> Scale<'a> {
    pub(super) fn new(ledger: &'a mut Ledger, url: &'a str) -> Self {
        Self { ledger, url }
    }

    /// Looks at a rule: held, or broken with what the closure says.
    pub(super) fn weigh(&mut self, rule: &'static str, holds: bool, what: impl FnOnce() -> String) {
        let url = self.url;
        self.ledger.expect(rule, holds, || (what(), Place::url(url)));
    }

    /// The same, with what the playlist said before and what it says now.
    pub(super) fn compare(
        &mut self,
        rule: &'static str,
        holds: bool,
        (before, now): (&str, &str),
        what: impl FnOnce() -> String,
    ) {
        let url = self.url;
        self.ledger.expect(rule, holds, || (what(), Place::line(url, 1, now).before(before)));
    }
}
