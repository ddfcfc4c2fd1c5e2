use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::Spread;

/// How often a row is drawn on a terminal, and written elsewhere.
const DRAWN_EVERY: Duration = Duration::from_secs(1);
const WRITTEN_EVERY: Duration = Duration::from_secs(5);

/// A table on standard error whose newest row tells how a load gets on: in place on a terminal,
/// line after line elsewhere.
#[derive(Debug)]
pub(super) struct Table {
    head: String,
    bar: Option<ProgressBar>,
}

impl Table {
    /// For columns that `head` names.
    pub(super) fn new(head: String) -> Self {
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{msg}").expect("a template without mistakes");
            let bar = ProgressBar::new_spinner().with_style(style);
            return Self { head, bar: Some(bar) };
        }
        say(&head);
        Self { head, bar: None }
    }

    /// How long what a row tells of takes.
    pub(super) fn interval(&self) -> Duration {
        if self.bar.is_some() { DRAWN_EVERY } else { WRITTEN_EVERY }
    }

    pub(super) fn show(&self, row: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}\n{row}", self.head)),
            None => say(row),
        }
    }

    /// Leaves the last row on the screen.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// One line for the person. A standard error that is gone is no reason to stop.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// `1:02:03`
pub(super) fn clock(length: Duration) -> String {
    let seconds = length.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// So many in a second, rounded down.
pub(super) fn per_second(count: u64, over: Duration) -> u64 {
    let millis = over.as_millis().max(1);
    u64::try_from(u128::from(count) * 1_000 / millis).unwrap_or(u64::MAX)
}

/// Megabits a second with one decimal.
pub(super) fn megabits(bytes: u64, over: Duration) -> String {
    let tenths = per_second(bytes, over).saturating_mul(8) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Milliseconds with one decimal; a dash where nothing was measured.
pub(super) fn millis(spread: &Spread, per_thousand: u64) -> String {
    spread.quantile(per_thousand).map_or_else(
        || "-".to_owned(),
        |length| format!("{}.{}", length.as_millis(), length.subsec_micros() / 100 % 10),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_over_the_time_they_took() {
        let over = Duration::from_millis(2_500);
        assert_eq!(per_second(1_000, over), 400);
        assert_eq!(megabits(12_500_000, over), "40.0");
        assert_eq!(megabits(40_000, over), "0.1");
        assert_eq!(clock(Duration::from_millis(3_723_999)), "1:02:03");
        assert_eq!(millis(&Spread::default(), 990), "-");
    }
}
