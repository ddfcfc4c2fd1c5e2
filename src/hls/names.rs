use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{BroadcastId, ChannelId, MediaSeq};

/// File name of the multivariant playlist of a channel.
pub const MULTIVARIANT: &str = "index.m3u8";
/// Longest decimal form of a 64-bit number.
const DIGITS_MAX: usize = 20;

/// Which of the media playlists of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PlaylistForm {
    /// With parts, and the promise to hold requests.
    #[default]
    LowLatency,
    /// Whole segments only, for a server that can hold no more requests.
    Plain,
}

impl PlaylistForm {
    fn file(self) -> &'static str {
        match self {
            Self::LowLatency => "live.m3u8",
            Self::Plain => "plain.m3u8",
        }
    }
}

/// A file of one broadcast: what stands behind `/<channel>/<broadcast>/`. The broadcast is in the
/// address and no number is used twice, so the bytes behind a name never change.
///
/// | name | is |
/// | --- | --- |
/// | `live.m3u8` | the media playlist |
/// | `plain.m3u8` | the media playlist without parts |
/// | `init-<version>.mp4` | an init segment |
/// | `s<media sequence>.m4s` | a segment |
/// | `p<number>.m4s` | a part, numbered through the whole broadcast |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaName {
    Playlist(PlaylistForm),
    Init(u32),
    Segment(MediaSeq),
    Part(u64),
}

impl MediaName {
    /// Reads exactly the form that [`fmt::Display`] writes. All numbers start at 1, so there is
    /// no leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let forms = [PlaylistForm::LowLatency, PlaylistForm::Plain];
        if let Some(form) = forms.into_iter().find(|form| form.file() == text) {
            return Some(Self::Playlist(form));
        }
        if let Some(version) = text.strip_prefix("init-").and_then(|t| t.strip_suffix(".mp4")) {
            return number(version).and_then(|n| u32::try_from(n).ok()).map(Self::Init);
        }
        let fragment = text.strip_suffix(".m4s")?;
        if let Some(msn) = fragment.strip_prefix('s') {
            return number(msn).map(|n| Self::Segment(MediaSeq(n)));
        }
        number(fragment.strip_prefix('p')?).map(Self::Part)
    }
}

impl fmt::Display for MediaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist(form) => f.write_str(form.file()),
            Self::Init(version) => write!(f, "init-{version}.mp4"),
            Self::Segment(msn) => write!(f, "s{msn}.m4s"),
            Self::Part(number) => write!(f, "p{number}.m4s"),
        }
    }
}

/// What stands behind the name of a segment or part.
#[derive(Clone, Debug)]
pub enum Found {
    /// The bytes, in the order in which they go out.
    Media(Arc<[Bytes]>),
    /// A part of missing media; there never were bytes.
    Gap,
    /// Comes next.
    Next,
    /// Was there and has left.
    Gone,
    /// Never was, or is too far ahead.
    Unknown,
}

/// Where the media playlist lies, seen from a multivariant playlist whose addresses start with
/// `prefix`: empty beside it, [`alias_prefix`] for the aliases.
pub fn playlist_path(prefix: &str, broadcast: BroadcastId, form: PlaylistForm) -> String {
    format!("{prefix}{broadcast}/{}", form.file())
}

/// The prefix for a multivariant playlist served as `/hls/<channel>.m3u8` or
/// `/live/<channel>.m3u8`.
pub fn alias_prefix(channel: &ChannelId) -> String {
    format!("../{channel}/")
}

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    if !plain || text.is_empty() || text.len() > DIGITS_MAX || text.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let names = [
            MediaName::Playlist(PlaylistForm::LowLatency),
            MediaName::Playlist(PlaylistForm::Plain),
            MediaName::Init(1),
            MediaName::Init(u32::MAX),
            MediaName::Segment(MediaSeq(186_000_000)),
            MediaName::Segment(MediaSeq(u64::MAX)),
            MediaName::Part(1),
        ];
        for name in names {
            assert_eq!(MediaName::parse(&name.to_string()), Some(name));
        }
    }

    // H32: one file has one name.
    #[test]
    fn only_the_written_form_is_a_name() {
        let bad = "|s.m4s|s0.m4s|s01.m4s|s+1.m4s|s-1.m4s|s1.5.m4s|s 1.m4s|S1.m4s|s1.M4S|s1|s1.mp4\
            |p.m4s|p0.m4s|p18446744073709551616.m4s|p111111111111111111111.m4s|p\u{0661}.m4s\
            |init-.mp4|init-0.mp4|init-4294967296.mp4|init-1.m4s|init.mp4|live.m3u8/|Live.m3u8\
            |../s1.m4s|s1.m4s\0|sp1.m4s";
        for text in bad.split('|') {
            assert_eq!(MediaName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn aliases_point_at_the_channel() {
        let channel = ChannelId::parse("demo").expect("a channel name");
        let prefix = alias_prefix(&channel);
        assert_eq!(
            playlist_path(&prefix, BroadcastId::new(36), PlaylistForm::default()),
            "../demo/10/live.m3u8"
        );
        assert_eq!(
            playlist_path("", BroadcastId::new(36), PlaylistForm::default()),
            "10/live.m3u8"
        );
    }
}
