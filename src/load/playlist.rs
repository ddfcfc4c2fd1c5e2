use std::time::Duration;

use crate::base::WallTime;

/// Longest segment or part that is believed, and the greatest number of one: what is added up stays
/// far from the ends of its type.
const PIECE_LENGTH_MAX: Duration = Duration::from_secs(86_400);
const MSN_MAX: u64 = u64::MAX / 2;

/// As much of an HLS playlist as a player needs.
#[derive(Debug, Default)]
pub struct Playlist {
    /// The first address where it lists other playlists instead of media.
    pub variant: Option<String>,
    pub first_msn: u64,
    pub target: Duration,
    /// Zero where parts are not announced.
    pub part_target: Duration,
    /// Whether a reload may ask to be held.
    pub can_block: bool,
    pub segments: Vec<Piece>,
    /// Parts behind the last whole segment are named with its number plus one.
    pub parts: Vec<Part>,
    pub ended: bool,
}

/// A segment or part.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    pub uri: String,
    pub length: Duration,
    /// Listed, but not there (EXT-X-GAP).
    pub missing: bool,
    /// The date of its first frame, where the playlist has dates.
    pub begins: Option<WallTime>,
}

/// A part, and its place in the segment it belongs to.
#[derive(Clone, Debug)]
pub struct Part {
    pub msn: u64,
    pub index: u64,
    pub independent: bool,
    pub piece: Piece,
}

/// A date and the media time that has passed since.
#[derive(Clone, Copy, Debug)]
struct Date {
    at: WallTime,
    since: Duration,
}

impl Date {
    fn after(self, length: Duration) -> Self {
        Self { since: self.since + length, ..self }
    }

    fn wall(self) -> WallTime {
        self.at + self.since
    }
}

impl Playlist {
    /// Reads what it knows and skips the rest. `None`: this is no playlist.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|first| first.trim_start_matches('\u{feff}') == "#EXTM3U")?;
        let mut playlist = Self::default();
        let mut next = Piece::default();
        // The date of the next segment, and of its next part.
        let (mut date, mut part_date) = (None::<Date>, None::<Date>);
        let mut index = 0;
        for line in lines {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-STREAM-INF" => {
                    playlist.variant.get_or_insert_default();
                }
                "#EXT-X-MEDIA-SEQUENCE" => {
                    playlist.first_msn = value.parse().unwrap_or(0).min(MSN_MAX);
                }
                "#EXT-X-TARGETDURATION" => playlist.target = seconds(value),
                "#EXT-X-PART-INF" => {
                    playlist.part_target =
                        attribute(value, "PART-TARGET").map(seconds).unwrap_or_default();
                }
                "#EXT-X-SERVER-CONTROL" => {
                    playlist.can_block = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                }
                "#EXT-X-PROGRAM-DATE-TIME" => {
                    date = parse_date(value);
                    part_date = date;
                }
                "#EXT-X-GAP" => next.missing = true,
                "#EXTINF" => {
                    next.length = seconds(value.split(',').next().unwrap_or_default());
                }
                "#EXT-X-PART" => {
                    let msn = playlist.next_msn();
                    let begins = part_date.map(Date::wall);
                    let part = Part::parse(value, msn, index, begins);
                    part_date = part_date.zip(part.as_ref()).map(|(d, p)| d.after(p.piece.length));
                    playlist.parts.extend(part);
                    index += 1;
                }
                "#EXT-X-ENDLIST" => playlist.ended = true,
                _ if line.starts_with('#') || line.is_empty() => {}
                _ => match &mut playlist.variant {
                    Some(uri) if uri.is_empty() => line.clone_into(uri),
                    Some(_) => {}
                    None => {
                        let uri = line.to_owned();
                        let begins = date.map(Date::wall);
                        date = date.map(|date| date.after(next.length));
                        part_date = date;
                        playlist.segments.push(Piece { uri, begins, ..std::mem::take(&mut next) });
                        index = 0;
                    }
                },
            }
        }
        Some(playlist)
    }

    /// The number of the segment that is not whole yet.
    pub fn next_msn(&self) -> u64 {
        self.first_msn + u64::try_from(self.segments.len()).unwrap_or(0)
    }

    /// How many parts of it there are.
    pub fn next_part(&self) -> u64 {
        let msn = self.next_msn();
        let open = self.parts.iter().rev().take_while(|part| part.msn == msn);
        open.count().try_into().unwrap_or(0)
    }

    /// What all segments and open parts play together.
    pub fn length(&self) -> Duration {
        let msn = self.next_msn();
        let open = self.parts.iter().filter(|part| part.msn == msn).map(|part| &part.piece);
        self.segments.iter().chain(open).filter(|piece| !piece.missing).map(|p| p.length).sum()
    }
}

impl Part {
    fn parse(attributes: &str, msn: u64, index: u64, begins: Option<WallTime>) -> Option<Self> {
        let value = |name| attribute(attributes, name);
        let piece = Piece {
            uri: value("URI")?.to_owned(),
            length: seconds(value("DURATION")?),
            missing: value("GAP") == Some("YES"),
            begins,
        };
        Some(Self { msn, index, independent: value("INDEPENDENT") == Some("YES"), piece })
    }
}

/// The value of one attribute, without its quotes; what stands in quotes may hold commas
/// (draft-pantos-hls-rfc8216bis, section 4.2).
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, behind) = quoted.split_once('"')?;
                (value, behind.strip_prefix(',').unwrap_or(behind))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key == name {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// `uri`, seen from the playlist at path `base`. `None` where it leads to another place than the
/// server the crowd was sent to.
pub fn resolve(base: &str, uri: &str, authority: &str) -> Option<String> {
    if let Some((scheme, rest)) = uri.split_once("://") {
        let path = rest.strip_prefix(authority).filter(|path| path.starts_with('/'))?;
        return scheme.eq_ignore_ascii_case("http").then(|| path.to_owned());
    }
    if uri.starts_with("//") || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if uri.starts_with('/') {
        return Some(uri.to_owned());
    }
    let base = base.split('?').next().unwrap_or(base);
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{folder}/{uri}"))
}

fn parse_date(text: &str) -> Option<Date> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    let at = WallTime::from_unix_millis(instant.as_millisecond());
    Some(Date { at, since: Duration::ZERO })
}

fn seconds(text: &str) -> Duration {
    let length = text.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    length.unwrap_or_default().min(PIECE_LENGTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.75
#EXT-X-PART-INF:PART-TARGET=0.25
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
#EXT-X-GAP
#EXTINF:1.5,
s7.m4s
#EXT-X-PART:DURATION=0.25,URI=\"p,1.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25,URI=\"p2.m4s\",GAP=YES
#EXTINF:0.5,
s8.m4s
#EXT-X-PART:DURATION=0.25,URI=\"p3.m4s\"
#EXT-X-PART:DURATION=0.25,URI=\"p4.m4s\"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p5.m4s\"
";

    #[test]
    fn a_low_latency_playlist_says_what_comes_next() {
        let playlist = Playlist::parse(LIVE).expect("a playlist");
        assert!(playlist.can_block && !playlist.ended && playlist.variant.is_none());
        assert_eq!((playlist.next_msn(), playlist.next_part()), (9, 2));
        assert_eq!(playlist.length(), Duration::from_secs(1), "what is missing does not play");
        let start = WallTime::from_unix_millis(1_795_248_000_000);
        let parts: Vec<_> = playlist
            .parts
            .iter()
            .map(|part| {
                let since = part.piece.begins.map(|at| start.until(at).as_millis());
                (part.msn, part.index, &*part.piece.uri, part.piece.missing, since)
            })
            .collect();
        assert_eq!(
            parts,
            [
                (8, 0, "p,1.m4s", false, Some(1_500)),
                (8, 1, "p2.m4s", true, Some(1_750)),
                (9, 0, "p3.m4s", false, Some(2_000)),
                (9, 1, "p4.m4s", false, Some(2_250)),
            ]
        );
        assert!(playlist.parts[0].independent && !playlist.parts[1].independent);
    }

    #[test]
    fn a_multivariant_playlist_leads_to_the_first_one() {
        let text =
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:B=2\nb.m3u8\n";
        let playlist = Playlist::parse(text).expect("a playlist");
        assert_eq!(playlist.variant.as_deref(), Some("a.m3u8"));
        assert!(Playlist::parse("<html>").is_none() && Playlist::parse("").is_none());
    }

    #[test]
    fn an_address_is_seen_from_its_playlist_and_stays_on_the_server() {
        let seen = |uri| resolve("/c/1/live.m3u8?token=a/b", uri, "h:8080");
        assert_eq!(seen("s1.m4s").as_deref(), Some("/c/1/s1.m4s"));
        assert_eq!(seen("/x/s1.m4s").as_deref(), Some("/x/s1.m4s"));
        assert_eq!(seen("http://h:8080/x").as_deref(), Some("/x"));
        for uri in ["http://other/x", "https://h:8080/x", "//other/x", "http://h:80801/x", "a b"] {
            assert_eq!(seen(uri), None, "{uri}");
        }
    }
}
