use std::collections::BTreeMap;

/// A media playlist taken apart by lines. It accepts what the rules forbid as far as it can;
/// saying no is the work of the lint.
#[derive(Debug, Default)]
pub(super) struct Playlist<'a> {
    /// Playlist-level tags before and after the segments, without `#`, in order.
    pub(super) tags: Vec<&'a str>,
    pub(super) segments: Vec<Segment<'a>>,
    /// What follows the last whole segment.
    pub(super) open: Segment<'a>,
    pub(super) media_sequence: u64,
    pub(super) skipped: u64,
}

/// The lines of one segment.
#[derive(Debug, Default, Clone)]
pub(super) struct Segment<'a> {
    pub(super) msn: u64,
    pub(super) lines: Vec<&'a str>,
    pub(super) uri: &'a str,
    pub(super) discontinuity: bool,
    pub(super) gap: bool,
    /// The init segment named by a tag of this segment.
    pub(super) own_map: Option<&'a str>,
    pub(super) map: Option<&'a str>,
    pub(super) date: Option<&'a str>,
    pub(super) extinf: Option<&'a str>,
    pub(super) parts: Vec<Part<'a>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part<'a> {
    pub(super) uri: &'a str,
    pub(super) micros: i64,
    pub(super) independent: bool,
    pub(super) gap: bool,
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

impl<'a> Playlist<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let mut playlist = Self::default();
        let mut segment = Segment::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some(tag) = line.strip_prefix('#') else {
                segment.uri = line;
                segment.lines.push(line);
                let next = Segment { map: segment.map, ..Segment::default() };
                playlist.segments.push(std::mem::replace(&mut segment, next));
                continue;
            };
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            if SEGMENT_TAGS.contains(&name) {
                segment.lines.push(line);
                segment.take(name, value);
            } else if name.starts_with("EXT") {
                playlist.tags.push(tag);
            }
        }
        playlist.open = segment;
        playlist.media_sequence =
            playlist.tag("EXT-X-MEDIA-SEQUENCE").and_then(|n| n.parse().ok()).unwrap_or(0);
        let skipped = playlist.attributes("EXT-X-SKIP").remove("SKIPPED-SEGMENTS");
        playlist.skipped = skipped.and_then(|n| n.parse().ok()).unwrap_or(0);
        let first = playlist.media_sequence + playlist.skipped;
        let numbered = playlist.segments.iter_mut().chain([&mut playlist.open]);
        for (msn, segment) in (first..).zip(numbered) {
            segment.msn = msn;
        }
        playlist
    }

    /// The value of a playlist-level tag.
    pub(super) fn tag(&self, name: &str) -> Option<&'a str> {
        self.tags.iter().find_map(|tag| {
            let (found, value) = tag.split_once(':').unwrap_or((tag, ""));
            (found == name).then_some(value)
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tag(name).is_some()
    }

    /// The attributes of a playlist-level tag; none where it is absent.
    pub(super) fn attributes(&self, name: &str) -> BTreeMap<&'a str, &'a str> {
        self.tag(name).map(|value| attributes(value).collect()).unwrap_or_default()
    }

    /// The address of the part that is to come next.
    pub(super) fn hinted_part(&self) -> Option<&'a str> {
        let hints = self.tags.iter().filter_map(|tag| tag.strip_prefix("EXT-X-PRELOAD-HINT:"));
        let mut hints = hints.map(|hint| attributes(hint).collect::<BTreeMap<_, _>>());
        hints.find(|hint| hint.get("TYPE") == Some(&"PART"))?.remove("URI")
    }

    pub(super) fn micros(&self, tag: &str, attribute: &str) -> Option<i64> {
        self.attributes(tag).get(attribute).and_then(|value| micros(value))
    }

    /// TARGETDURATION in microseconds.
    pub(super) fn target(&self) -> i64 {
        self.tag("EXT-X-TARGETDURATION").and_then(micros).unwrap_or(0)
    }

    /// All segments, the open one included where it has parts.
    pub(super) fn all(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.segments.iter().chain(Some(&self.open).filter(|open| !open.parts.is_empty()))
    }
}

impl<'a> Segment<'a> {
    pub(super) fn micros(&self) -> i64 {
        self.extinf.and_then(|value| micros(value.split(',').next()?)).unwrap_or(0)
    }

    pub(super) fn parts_micros(&self) -> i64 {
        self.parts.iter().map(|part| part.micros).sum()
    }

    fn take(&mut self, name: &str, value: &'a str) {
        match name {
            "EXTINF" => self.extinf = Some(value),
            "EXT-X-DISCONTINUITY" => self.discontinuity = true,
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => self.date = Some(value),
            "EXT-X-MAP" => {
                self.own_map = attributes(value).find(|(name, _)| *name == "URI").map(|(_, v)| v);
                self.map = self.own_map;
            }
            "EXT-X-PART" => {
                let found: BTreeMap<_, _> = attributes(value).collect();
                self.parts.push(Part {
                    uri: found.get("URI").copied().unwrap_or_default(),
                    micros: found.get("DURATION").and_then(|v| micros(v)).unwrap_or(-1),
                    independent: found.get("INDEPENDENT") == Some(&"YES"),
                    gap: found.get("GAP") == Some(&"YES"),
                });
            }
            _ => {}
        }
    }
}

/// Name and value of each attribute, quotes removed.
pub(super) fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (name, after) = rest.split_once('=').unwrap_or((rest, ""));
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        rest = after.strip_prefix(',').unwrap_or(after);
        Some((name, value))
    })
}

/// A decimal number of seconds in microseconds, exactly; digits beyond the sixth are refused.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let padded = format!("{fraction:0<6}");
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(padded.parse().ok()?)
}
