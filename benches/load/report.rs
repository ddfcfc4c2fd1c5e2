//! Numbers into one table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// One row: a name, ours, nginx's, their ratio, and what was promised.
#[derive(Debug)]
struct Row {
    name: String,
    ours: f64,
    theirs: Option<f64>,
    goal: &'static str,
}

/// The table, row by row.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    /// A phase could not be measured.
    pub(crate) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Adds a number that only we have.
    pub(crate) fn ours(&mut self, name: impl Into<String>, ours: f64, goal: &'static str) {
        self.rows.push(Row { name: name.into(), ours, theirs: None, goal });
    }

    /// Adds a number of both.
    pub(crate) fn both(
        &mut self,
        name: impl Into<String>,
        ours: f64,
        theirs: Option<f64>,
        goal: &'static str,
    ) {
        self.rows.push(Row { name: name.into(), ours, theirs, goal });
    }

    /// Row by row the middle one of several runs; of two, the later.
    pub(crate) fn median(runs: Vec<Self>) -> Self {
        let mut values: BTreeMap<String, Vec<(f64, Option<f64>)>> = BTreeMap::new();
        for row in runs.iter().flat_map(|run| &run.rows) {
            values.entry(row.name.clone()).or_default().push((row.ours, row.theirs));
        }
        let failures = runs.iter().flat_map(|run| run.failures.clone()).collect();
        let first = runs.into_iter().max_by_key(|run| run.rows.len()).unwrap_or_default();
        let rows = first.rows.into_iter().map(|row| {
            let seen = values.remove(&row.name).unwrap_or_default();
            let ours = middle(seen.iter().map(|(ours, _)| *ours).collect());
            let theirs = middle(seen.iter().filter_map(|(_, theirs)| *theirs).collect());
            Row { ours: ours.unwrap_or(row.ours), theirs, ..row }
        });
        Self { rows: rows.collect(), failures }
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<58} {:>10} {:>10} {:>7}  goal", "", "ours", "nginx", "ratio");
        for row in &self.rows {
            let theirs = row.theirs.map_or_else(|| "-".to_owned(), number);
            let ratio = row.theirs.filter(|theirs| *theirs > 0.0);
            let ratio = ratio.map_or_else(|| "-".to_owned(), |t| format!("{:.2}", row.ours / t));
            let (name, ours, goal) = (&row.name, number(row.ours), row.goal);
            let _ = writeln!(text, "{name:<58} {ours:>10} {theirs:>10} {ratio:>7}  {goal}");
        }
        text
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Three or more digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1_000.0
}

/// The length that `per_thousand` of 1,000 do not exceed, in milliseconds. Sorts.
pub(crate) fn quantile(lengths: &mut [Duration], per_thousand: usize) -> f64 {
    lengths.sort_unstable();
    let at = (lengths.len() * per_thousand).div_ceil(1_000).saturating_sub(1);
    lengths.get(at).copied().map_or(f64::NAN, millis)
}
