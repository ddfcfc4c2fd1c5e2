use std::fmt;
use std::ops::Range;

use super::catalog::{Level, Rule};

/// Bytes of one quotation from a playlist.
const QUOTE_BYTES_MAX: usize = 600;

/// A rule broken, how, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    /// The rule's own level, or less where only its recommended half is broken.
    pub level: Level,
    pub what: String,
    pub place: Place,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub url: String,
    /// Line of the playlist, from 1.
    pub line: Option<usize>,
    /// Bytes of the segment, part or init segment.
    pub bytes: Option<Range<u64>>,
    /// What the earlier version said, or the other rendition.
    pub before: Option<String>,
    /// What stands there now.
    pub now: Option<String>,
}

/// What came of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Looked at so many times, and never broken.
    Held {
        looked: u64,
    },
    /// All that was found, counted; the first different findings, kept.
    Broken {
        count: u64,
        looked: u64,
        findings: Vec<Finding>,
    },
    NotApplicable(&'static str),
}

impl Finding {
    /// A finding of the rule's own level.
    pub fn new(rule: &'static str, what: String, place: Place) -> Self {
        let level = Rule::find(rule).map_or(Level::Must, |rule| rule.level);
        Self { rule, level, what, place }
    }

    /// A finding against the recommended half of a rule.
    pub fn should(rule: &'static str, what: String, place: Place) -> Self {
        Self { level: Level::Should, ..Self::new(rule, what, place) }
    }
}

impl Place {
    pub fn url(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    pub fn line(url: &str, line: usize, now: &str) -> Self {
        Self { line: Some(line), now: Some(quote(now)), ..Self::url(url) }
    }

    pub fn bytes(url: &str, bytes: Range<u64>) -> Self {
        Self { bytes: Some(bytes), ..Self::url(url) }
    }

    #[must_use]
    pub fn before(self, before: &str) -> Self {
        Self { before: Some(quote(before)), ..self }
    }
}

/// At most [`QUOTE_BYTES_MAX`] of a text, cut between two characters.
fn quote(text: &str) -> String {
    let end = text.floor_char_boundary(QUOTE_BYTES_MAX);
    match text.get(..end) {
        Some(short) if short.len() < text.len() => format!("{short}…"),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)?;
        match (self.place.line, &self.place.bytes) {
            (Some(line), _) => write!(f, " ({} line {line})", self.place.url),
            (None, Some(bytes)) => {
                write!(f, " ({} bytes {}-{})", self.place.url, bytes.start, bytes.end)
            }
            (None, None) => write!(f, " ({})", self.place.url),
        }
    }
}
