//! Rules of the text of any playlist, multivariant or media.

use std::collections::BTreeSet;

use super::finding::Place;
use super::ledger::Ledger;
use super::look::Look;
use super::playlist::Tag;
use super::text::{attribute, quoted_attributes};

/// Tags whose value is an attribute list.
const WITH_ATTRIBUTES: &[&str] = &[
    "EXT-X-CONTENT-STEERING",
    "EXT-X-DATERANGE",
    "EXT-X-DEFINE",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-MEDIA",
    "EXT-X-PART",
    "EXT-X-PART-INF",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-SKIP",
    "EXT-X-START",
    "EXT-X-STREAM-INF",
];
/// Tags and attributes that are whole numbers.
const INTEGERS: &[&str] = &[
    "AVERAGE-BANDWIDTH",
    "BANDWIDTH",
    "BYTERANGE-LENGTH",
    "BYTERANGE-START",
    "EXT-X-BITRATE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-TARGETDURATION",
    "EXT-X-VERSION",
    "LAST-MSN",
    "LAST-PART",
    "SKIPPED-SEGMENTS",
];
/// Tags and attributes that are numbers with or without a fraction.
const FLOATS: &[&str] = &[
    "CAN-SKIP-UNTIL",
    "DURATION",
    "EXTINF",
    "FRAME-RATE",
    "HOLD-BACK",
    "PART-HOLD-BACK",
    "PART-TARGET",
    "PLANNED-DURATION",
];

/// The body as text, if it can be read at all.
pub(super) fn readable<'a>(ledger: &mut Ledger, url: &str, body: &'a [u8]) -> Option<&'a str> {
    let text = str::from_utf8(body);
    ledger.expect("H2", text.is_ok(), || {
        let at = text.err().map_or(0, |error| error.valid_up_to());
        let at = u64::try_from(at).unwrap_or(0);
        ("not UTF-8".to_owned(), Place::bytes(url, at..at.saturating_add(1)))
    });
    text.ok()
}

impl Look<'_> {
    /// H2 to H7: what any line of any playlist must keep to.
    pub(super) fn words(&mut self) {
        let text = self.text;
        let marked = text.starts_with('\u{feff}');
        self.expect("H2", !marked, 1, || "begins with a byte order mark".to_owned());
        let control = |c: char| c.is_control() && c != '\n' && c != '\r';
        let line = text.lines().position(|line| line.contains(control));
        self.expect("H2", line.is_none(), line.map_or(0, |index| index + 1), || {
            "holds a control character".to_owned()
        });
        let first = text.trim_start_matches('\u{feff}').lines().next();
        self.expect("H3", first == Some("#EXTM3U"), 1, || "the first line is not #EXTM3U".into());
        for tag in Tag::all(text) {
            self.number(tag.line, tag.name, tag.value.split(',').next().unwrap_or_default());
            if WITH_ATTRIBUTES.contains(&tag.name) {
                self.attribute_list(tag);
            }
        }
    }

    fn attribute_list(&mut self, tag: Tag<'_>) {
        let closed = tag.value.matches('"').count().is_multiple_of(2);
        self.expect("H6", closed, tag.line, || "a quoted string stays open".to_owned());
        if !closed {
            return;
        }
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        let mut names = BTreeSet::new();
        let mut fault = None;
        for (name, value, quoted) in quoted_attributes(tag.value) {
            if name.is_empty() || !name.bytes().all(plain) {
                fault = Some(format!("the attribute name {name:?}"));
            } else if (value.is_empty() || value.contains(char::is_whitespace)) && !quoted {
                fault = Some(format!("the value {value:?} of {name}"));
            } else if !names.insert(name) {
                fault = Some(format!("{name} twice"));
            }
            self.number(tag.line, name, value);
        }
        self.expect("H5", fault.is_none(), tag.line, || fault.unwrap_or_default());
    }

    fn number(&mut self, line: usize, name: &str, value: &str) {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let good = if INTEGERS.contains(&name) {
            digits(value) && value.len() <= 20
        } else if FLOATS.contains(&name) {
            let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
            digits(whole) && digits(fraction)
        } else {
            return;
        };
        self.expect("H7", good, line, || format!("{name} is {value:?}"));
    }

    /// H4: one version tag, and what the other tags need.
    pub(super) fn version(&mut self, exact: bool) {
        let mut stated = None;
        let mut line = 1;
        let mut needed = (1, "nothing");
        for tag in Tag::all(self.text) {
            if tag.name == "EXT-X-VERSION" {
                self.expect("H4", stated.is_none(), tag.line, || "a second version".to_owned());
                (stated, line) = (tag.value.parse::<u64>().ok(), tag.line);
            }
            needed = needed.max((needed_version(tag), tag.name));
        }
        let ((needed, by), stated) = (needed, stated.unwrap_or(1));
        self.expect("H4", stated >= needed, line, || {
            format!("version {stated}, and {by} needs version {needed}")
        });
        if exact && stated >= needed {
            self.advise("H4", stated <= needed.max(3), line, || {
                format!("version {stated}, where {needed} would do")
            });
        }
    }
}

/// The lowest protocol version that knows a tag (draft-pantos-hls-rfc8216bis 8).
fn needed_version(tag: Tag<'_>) -> u64 {
    let has = |name| attribute(tag.value, name).is_some();
    match tag.name {
        "EXTINF" if tag.value.split(',').next().is_some_and(|length| length.contains('.')) => 3,
        "EXT-X-BYTERANGE" | "EXT-X-I-FRAMES-ONLY" => 4,
        "EXT-X-KEY" if has("KEYFORMAT") || has("KEYFORMATVERSIONS") => 5,
        "EXT-X-KEY" if attribute(tag.value, "METHOD") == Some("SAMPLE-AES") => 5,
        "EXT-X-KEY" if has("IV") => 2,
        "EXT-X-MAP" => 6,
        "EXT-X-DEFINE" if has("QUERYPARAM") => 11,
        "EXT-X-DEFINE" => 8,
        "EXT-X-SKIP" if has("RECENTLY-REMOVED-DATERANGES") => 10,
        "EXT-X-SKIP" => 9,
        _ => 1,
    }
}
