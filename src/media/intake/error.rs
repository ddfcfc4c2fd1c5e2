use std::time::Duration;

use crate::base::Blame;
use crate::media::{ConfigError, TagError, TrackKind};

/// Why a publication cannot go on. The text is for the person at the encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    #[error("codec not supported: {0}")]
    CodecNotSupported(TagError),
    #[error("the video configuration cannot be read: {0}")]
    BadVideoConfig(ConfigError),
    #[error("no video configuration after {} s of video; restart the encoder", waited.as_secs())]
    NoVideoConfig { waited: Duration },
    #[error("no keyframe for {} s; set the keyframe interval to 2 s", waited.as_secs())]
    NoKeyframe { waited: Duration },
    #[error("a {} frame of {got} bytes; at most {max} are allowed", track.as_str())]
    FrameTooLarge { track: TrackKind, got: usize, max: usize },
    #[error(
        "{got} bytes since the last keyframe, at most {max} are allowed; \
         lower the bitrate or set the keyframe interval to 2 s"
    )]
    GopTooLarge { got: usize, max: usize },
    #[error("more than {max} {} messages in a second", track.as_str())]
    TooManyMessages { track: TrackKind, max: u32 },
    #[error("the {} configuration changed more than {max} times in a minute", track.as_str())]
    TooManyConfigChanges { track: TrackKind, max: u32 },
}

impl IntakeError {
    /// The reason label of metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CodecNotSupported(_) => "codec_not_supported",
            Self::BadVideoConfig(_) => "bad_video_config",
            Self::NoVideoConfig { .. } => "no_video_config",
            Self::NoKeyframe { .. } => "no_keyframe",
            Self::FrameTooLarge { .. } => "frame_too_large",
            Self::GopTooLarge { .. } => "gop_too_large",
            Self::TooManyMessages { .. } => "too_many_messages",
            Self::TooManyConfigChanges { .. } => "too_many_config_changes",
        }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::CodecNotSupported(_)
            | Self::BadVideoConfig(_)
            | Self::NoVideoConfig { .. }
            | Self::NoKeyframe { .. } => Blame::Peer,
            Self::FrameTooLarge { .. }
            | Self::GopTooLarge { .. }
            | Self::TooManyMessages { .. }
            | Self::TooManyConfigChanges { .. } => Blame::Policy,
        }
    }
}
