use std::ops::Range;

use super::text::{attribute, micros};

/// Anybody's media playlist taken apart by lines. It accepts what the rules forbid as far as it
/// can; saying no is the work of the judges.
#[derive(Clone, Debug, Default)]
pub struct Playlist<'a> {
    /// Tags that belong to no segment, in order.
    pub tags: Vec<Tag<'a>>,
    /// The whole segments, those with an address.
    pub segments: Vec<Segment<'a>>,
    /// What follows the last whole segment.
    pub open: Segment<'a>,
    pub media_sequence: u64,
    /// Segments that a delta update leaves out.
    pub skipped: u64,
}

/// One line that begins with `#EXT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag<'a> {
    /// From 1.
    pub line: usize,
    /// Without `#`.
    pub name: &'a str,
    pub value: &'a str,
}

/// The lines of one segment.
#[derive(Clone, Debug, Default)]
pub struct Segment<'a> {
    pub msn: u64,
    /// The line of its address; for an open segment, of its last tag.
    pub line: usize,
    pub uri: &'a str,
    pub tags: Vec<Tag<'a>>,
    pub discontinuity: bool,
    pub gap: bool,
    pub date: Option<&'a str>,
    pub extinf: Option<&'a str>,
    /// Kilobits a second.
    pub bitrate: Option<u64>,
    /// Where in the resource, if not all of it.
    pub range: Option<Range<u64>>,
    /// The init segment that a tag of this very segment names.
    pub own_map: Option<Resource<'a>>,
    /// The init segment in force.
    pub map: Option<Resource<'a>>,
    /// The value of the key tag in force.
    pub key: Option<&'a str>,
    pub parts: Vec<Part<'a>>,
}

/// An address, and which bytes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub uri: &'a str,
    pub range: Option<Range<u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub line: usize,
    pub uri: &'a str,
    pub range: Option<Range<u64>>,
    /// Its length in microseconds; negative where none can be read.
    pub micros: i64,
    pub independent: bool,
    pub gap: bool,
}

const SEGMENT_TAGS: &[&str] = &[
    "EXTINF",
    "EXT-X-PART",
    "EXT-X-DISCONTINUITY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-BYTERANGE",
    "EXT-X-KEY",
];

impl<'a> Tag<'a> {
    /// None for an address, a comment or an empty line.
    pub(super) fn parse(line: usize, text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix('#').filter(|rest| rest.starts_with("EXT"))?;
        let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Self { line, name, value })
    }

    /// Every tag of a playlist of any kind.
    pub(super) fn all(text: &'a str) -> impl Iterator<Item = Self> {
        text.lines().enumerate().filter_map(|(index, line)| Self::parse(index + 1, line))
    }
}

impl<'a> Playlist<'a> {
    pub fn parse(text: &'a str) -> Self {
        let mut playlist = Self::default();
        let mut reader = Reader::default();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            if let Some(tag) = Tag::parse(number, line) {
                if SEGMENT_TAGS.contains(&tag.name) {
                    reader.take(tag);
                } else {
                    playlist.tags.push(tag);
                }
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                playlist.segments.push(reader.close(number, line));
            }
        }
        playlist.open = reader.open;
        playlist.number();
        playlist
    }

    fn number(&mut self) {
        let count = |value: Option<&str>| value.and_then(|n| n.parse().ok()).unwrap_or(0);
        self.media_sequence = count(self.value("EXT-X-MEDIA-SEQUENCE"));
        self.skipped = count(self.attribute("EXT-X-SKIP", "SKIPPED-SEGMENTS"));
        let first = self.media_sequence.saturating_add(self.skipped);
        let mut msn = first;
        for segment in self.segments.iter_mut().chain([&mut self.open]) {
            segment.msn = msn;
            msn = msn.saturating_add(1);
        }
    }

    /// The first tag of this name that belongs to no segment.
    pub fn tag(&self, name: &str) -> Option<Tag<'a>> {
        self.tags.iter().copied().find(|tag| tag.name == name)
    }

    pub fn all_tags(&self, name: &str) -> impl Iterator<Item = Tag<'a>> {
        self.tags.iter().copied().filter(move |tag| tag.name == name)
    }

    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.tag(name).map(|tag| tag.value)
    }

    pub fn attribute(&self, tag: &str, name: &str) -> Option<&'a str> {
        attribute(self.value(tag)?, name)
    }

    /// An attribute in seconds, as microseconds.
    pub fn micros(&self, tag: &str, name: &str) -> Option<i64> {
        micros(self.attribute(tag, name)?)
    }

    /// The target duration in microseconds; 0 where none can be read.
    pub fn target(&self) -> i64 {
        self.value("EXT-X-TARGETDURATION").and_then(micros).unwrap_or(0)
    }

    /// The part target in microseconds, where one is stated.
    pub fn part_target(&self) -> Option<i64> {
        self.micros("EXT-X-PART-INF", "PART-TARGET")
    }

    /// Nothing more will come.
    pub fn ended(&self) -> bool {
        self.tag("EXT-X-ENDLIST").is_some()
    }

    /// Segments come and go: neither ended nor of a type.
    pub fn live(&self) -> bool {
        !self.ended() && self.tag("EXT-X-PLAYLIST-TYPE").is_none()
    }

    /// It offers low latency: parts, or the promise of parts.
    pub fn low_latency(&self) -> bool {
        self.tag("EXT-X-PART-INF").is_some() || self.all().any(|s| !s.parts.is_empty())
    }

    /// All segments, the open one included where it has parts.
    pub fn all(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.segments.iter().chain(Some(&self.open).filter(|open| !open.parts.is_empty()))
    }

    /// The listed segment of this number.
    pub fn at(&self, msn: u64) -> Option<&Segment<'a>> {
        let first = self.media_sequence.saturating_add(self.skipped);
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        let open = || Some(&self.open).filter(|open| open.msn == msn && !open.parts.is_empty());
        self.segments.get(index).or_else(open)
    }

    pub fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.all().flat_map(|segment| &segment.parts)
    }

    /// What the hint of this type (`PART` or `MAP`) names.
    pub fn hint(&self, kind: &str) -> Option<Resource<'a>> {
        let hint = self
            .all_tags("EXT-X-PRELOAD-HINT")
            .find(|tag| attribute(tag.value, "TYPE") == Some(kind))?;
        let number = |name| attribute(hint.value, name).and_then(|n| n.parse::<u64>().ok());
        let start = number("BYTERANGE-START");
        let end = number("BYTERANGE-LENGTH")
            .map_or(u64::MAX, |length| start.unwrap_or(0).saturating_add(length));
        let range = start.map(|start| start..end);
        Some(Resource { uri: attribute(hint.value, "URI")?, range })
    }

    /// What all that is listed adds up to, in microseconds.
    pub fn length(&self) -> i64 {
        self.segments
            .iter()
            .map(Segment::micros)
            .fold(self.open.parts_micros(), i64::saturating_add)
    }
}

impl Segment<'_> {
    /// It is the same bytes by its address.
    pub fn is_where(&self, other: &Segment<'_>) -> bool {
        (self.uri, &self.range) == (other.uri, &other.range)
    }

    /// Its stated length in microseconds.
    pub fn micros(&self) -> i64 {
        self.extinf.and_then(|value| micros(value.split(',').next()?.trim())).unwrap_or(0)
    }

    pub fn parts_micros(&self) -> i64 {
        self.parts.iter().map(|part| part.micros).fold(0, i64::saturating_add)
    }
}

impl Part<'_> {
    /// Everything but the line is the same.
    pub(super) fn is_same(&self, other: &Part<'_>) -> bool {
        let said = |part: &Part<'_>| (part.micros, part.independent, part.gap);
        (self.uri, &self.range) == (other.uri, &other.range) && said(self) == said(other)
    }
}

/// The segment being read, and what earlier ones leave in force.
#[derive(Default)]
struct Reader<'a> {
    open: Segment<'a>,
    /// Where the last byte range of a segment ended, and of what.
    segment_end: Option<(&'a str, u64)>,
    part_end: Option<(&'a str, u64)>,
    /// `length[@offset]` of the segment being read.
    byte_range: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn close(&mut self, line: usize, uri: &'a str) -> Segment<'a> {
        let range =
            self.byte_range.take().and_then(|text| ranged(text, uri, &mut self.segment_end));
        let next = Segment {
            map: self.open.map.clone(),
            key: self.open.key,
            bitrate: self.open.bitrate,
            ..Segment::default()
        };
        let segment = std::mem::replace(&mut self.open, next);
        Segment { line, uri, range, ..segment }
    }

    fn take(&mut self, tag: Tag<'a>) {
        let open = &mut self.open;
        open.tags.push(tag);
        open.line = tag.line;
        match tag.name {
            "EXTINF" => open.extinf = Some(tag.value),
            "EXT-X-DISCONTINUITY" => open.discontinuity = true,
            "EXT-X-GAP" => open.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => open.date = Some(tag.value),
            "EXT-X-BITRATE" => open.bitrate = tag.value.parse().ok(),
            "EXT-X-BYTERANGE" => self.byte_range = Some(tag.value),
            "EXT-X-KEY" => {
                let none = attribute(tag.value, "METHOD") == Some("NONE");
                open.key = Some(tag.value).filter(|_| !none);
            }
            "EXT-X-MAP" => {
                let uri = attribute(tag.value, "URI").unwrap_or_default();
                let range = attribute(tag.value, "BYTERANGE")
                    .and_then(|text| ranged(text, uri, &mut Some((uri, 0))));
                open.own_map = Some(Resource { uri, range });
                open.map.clone_from(&open.own_map);
            }
            "EXT-X-PART" => {
                let uri = attribute(tag.value, "URI").unwrap_or_default();
                let range = attribute(tag.value, "BYTERANGE")
                    .and_then(|text| ranged(text, uri, &mut self.part_end));
                open.parts.push(Part {
                    line: tag.line,
                    uri,
                    range,
                    micros: attribute(tag.value, "DURATION").and_then(micros).unwrap_or(-1),
                    independent: attribute(tag.value, "INDEPENDENT") == Some("YES"),
                    gap: attribute(tag.value, "GAP") == Some("YES"),
                });
            }
            _ => {}
        }
    }
}

/// `length[@offset]`; without an offset it goes on where the last range of the same resource ended.
fn ranged<'a>(text: &str, uri: &'a str, last: &mut Option<(&'a str, u64)>) -> Option<Range<u64>> {
    let (length, offset) = match text.split_once('@') {
        Some((length, offset)) => (length, Some(offset.parse::<u64>().ok()?)),
        None => (text, None),
    };
    let known = last.filter(|(known, _)| *known == uri).map(|(_, end)| end);
    let start = offset.or(known)?;
    let end = start.checked_add(length.parse().ok()?)?;
    *last = Some((uri, end));
    Some(start..end)
}

#[cfg(test)]
#[path = "playlist_tests.rs"]
mod tests;
