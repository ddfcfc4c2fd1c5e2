//! As much of an HLS playlist as a player needs.

use std::time::Duration;

/// A media playlist.
#[derive(Debug, Default)]
pub(crate) struct Playlist {
    pub first_msn: u64,
    pub target: Duration,
    pub segments: Vec<Item>,
    /// Parts behind the last whole segment are named with its number plus one.
    pub parts: Vec<Part>,
    pub ended: bool,
}

/// A segment and how long it plays: not at all where its media is missing.
#[derive(Debug)]
pub(crate) struct Item {
    pub uri: String,
    pub length: Duration,
}

/// A part, and the segment it belongs to.
#[derive(Debug)]
pub(crate) struct Part {
    pub msn: u64,
    pub index: u64,
    pub uri: String,
    pub length: Duration,
    pub independent: bool,
}

impl Playlist {
    pub(crate) fn parse(text: &str) -> Self {
        let mut playlist = Self::default();
        let mut length = Duration::ZERO;
        let mut missing = false;
        let mut index = 0;
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.first_msn = value.parse().unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                playlist.target = seconds(value);
            } else if let Some(value) = line.strip_prefix("#EXTINF:") {
                length = seconds(value.split(',').next().unwrap_or_default());
            } else if line == "#EXT-X-GAP" {
                missing = true;
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-PART:") {
                let msn = playlist.next_msn();
                playlist.parts.extend(Part::parse(attributes, msn, index));
                index += 1;
            } else if line == "#EXT-X-ENDLIST" {
                playlist.ended = true;
            } else if !line.starts_with('#') && !line.is_empty() {
                let length = if missing { Duration::ZERO } else { length };
                playlist.segments.push(Item { uri: line.to_owned(), length });
                (index, missing) = (0, false);
            }
        }
        playlist
    }

    /// The number of the segment that is not whole yet.
    pub(crate) fn next_msn(&self) -> u64 {
        self.first_msn + u64::try_from(self.segments.len()).unwrap_or(0)
    }

    /// How many parts of it there are.
    pub(crate) fn next_part(&self) -> u64 {
        let msn = self.next_msn();
        self.parts.iter().filter(|part| part.msn == msn).count().try_into().unwrap_or(0)
    }

    /// What all segments and open parts play together.
    pub(crate) fn length(&self) -> Duration {
        let open = self.parts.iter().filter(|part| part.msn == self.next_msn());
        self.segments.iter().map(|item| item.length).sum::<Duration>()
            + open.map(|part| part.length).sum::<Duration>()
    }
}

impl Part {
    /// URIs of the servers under test hold no comma.
    fn parse(attributes: &str, msn: u64, index: u64) -> Option<Self> {
        let value = |name: &str| {
            let mut pairs = attributes.split(',').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
        };
        Some(Self {
            msn,
            index,
            uri: value("URI")?.to_owned(),
            length: seconds(value("DURATION")?),
            independent: value("INDEPENDENT") == Some("YES"),
        })
    }
}

/// The first address in a multivariant playlist, or in any other.
pub(crate) fn first_uri(text: &str) -> Option<&str> {
    text.lines().find(|line| !line.starts_with('#') && !line.is_empty())
}

/// `uri`, seen from the playlist at `base`.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{uri}")
}

fn seconds(text: &str) -> Duration {
    text.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok()).unwrap_or_default()
}
