use std::fmt;

use super::cursor::Short;
use crate::base::Blame;

/// Four characters that name a codec in Enhanced RTMP. Printed with anything odd escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// Why a tag body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    #[error("the tag ended early: {need} bytes needed, {got} there")]
    Truncated { need: usize, got: usize },
    #[error("video codec number {0} is not supported; send H.264, HEVC, AV1 or VP9")]
    VideoCodec(u8),
    #[error("audio codec number {0} is not supported; send AAC, Opus, MP3, FLAC or AC-3")]
    AudioCodec(u8),
    #[error("video codec {0} is not supported; send H.264, HEVC, AV1 or VP9")]
    VideoFourCc(FourCc),
    #[error("audio codec {0} is not supported; send AAC, Opus, MP3, FLAC or AC-3")]
    AudioFourCc(FourCc),
    #[error("packet type {0} is unknown")]
    PacketType(u8),
    #[error("multitrack type {0} is unknown")]
    MultitrackType(u8),
    #[error("a multitrack packet inside a multitrack packet")]
    NestedMultitrack,
}

impl TagError {
    /// The codec itself is at fault, so no later tag will do better.
    pub fn is_unsupported_codec(&self) -> bool {
        match self {
            Self::VideoCodec(_)
            | Self::AudioCodec(_)
            | Self::VideoFourCc(_)
            | Self::AudioFourCc(_) => true,
            Self::Truncated { .. }
            | Self::PacketType(_)
            | Self::MultitrackType(_)
            | Self::NestedMultitrack => false,
        }
    }

    /// A tag is always the sender's.
    pub fn blame(&self) -> Blame {
        Blame::Peer
    }
}

impl From<Short> for TagError {
    fn from(short: Short) -> Self {
        Self::Truncated { need: short.need, got: short.got }
    }
}
