//! One door to the codecs: which configuration a record or a frame gives, and what a frame is.

use bytes::Bytes;

use super::{
    AudioCodec, AudioConfig, ConfigError, VideoCodec, VideoConfig, aac, ac3, av1, avc, flac, hevc,
    mp3, opus, vp9,
};

/// What a video record tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum VideoRecord {
    /// All there is to know.
    Whole(VideoConfig),
    /// Sound, but the picture is described by keyframes.
    AtKeyframe(VideoCodec, Bytes),
}

impl VideoRecord {
    pub(super) fn parse(codec: VideoCodec, record: &Bytes) -> Result<Self, ConfigError> {
        let at_keyframe = |record| Self::AtKeyframe(codec, record);
        Ok(match codec {
            VideoCodec::Avc => Self::Whole(avc::parse_config(record)?),
            VideoCodec::Hevc => Self::Whole(hevc::parse_config(record)?),
            VideoCodec::Av1 => {
                av1::parse_config(record)?.map_or_else(|| at_keyframe(record.clone()), Self::Whole)
            }
            VideoCodec::Vp9 => at_keyframe(vp9::check_record(record)?),
        })
    }

    pub(super) fn codec(&self) -> VideoCodec {
        match self {
            Self::Whole(config) => config.codec,
            Self::AtKeyframe(codec, _) => *codec,
        }
    }

    /// The configuration in force from `keyframe` on.
    pub(super) fn config_at(&self, keyframe: &[u8]) -> Result<VideoConfig, ConfigError> {
        match self {
            Self::Whole(config) => Ok(config.clone()),
            Self::AtKeyframe(VideoCodec::Av1, record) => av1::parse_config_with(record, keyframe),
            Self::AtKeyframe(VideoCodec::Vp9, record) => vp9::parse_config_with(record, keyframe),
            Self::AtKeyframe(VideoCodec::Avc, record) => avc::parse_config(record),
            Self::AtKeyframe(VideoCodec::Hevc, record) => hevc::parse_config(record),
        }
    }

    /// Whether a frame decodes alone. `None` when it is broken.
    pub(super) fn is_keyframe(&self, frame: &[u8]) -> Option<bool> {
        let (codec, record) = match self {
            Self::Whole(config) => (config.codec, &config.record),
            Self::AtKeyframe(codec, record) => (*codec, record),
        };
        match codec {
            VideoCodec::Avc => avc::is_keyframe(frame, avc::length_size(record)),
            VideoCodec::Hevc => hevc::is_keyframe(frame, hevc::length_size(record)),
            VideoCodec::Av1 => av1::is_keyframe(frame),
            VideoCodec::Vp9 => vp9::is_keyframe(frame),
        }
    }
}

/// The configuration an audio record gives. `None` for the codecs that have no record: their
/// frames tell.
pub(super) fn audio_from_record(
    codec: AudioCodec,
    record: &Bytes,
) -> Result<Option<AudioConfig>, ConfigError> {
    match codec {
        AudioCodec::Aac => aac::parse_config(record).map(Some),
        AudioCodec::Opus => opus::parse_config(record).map(Some),
        AudioCodec::Flac => flac::parse_config(record).map(Some),
        AudioCodec::Mp3 | AudioCodec::Ac3 | AudioCodec::Eac3 => Ok(None),
    }
}

/// The configuration an audio frame carries itself, where its codec does that.
pub(super) fn audio_from_frame(codec: AudioCodec, frame: &[u8]) -> Option<AudioConfig> {
    match codec {
        AudioCodec::Mp3 => mp3::parse_frame(frame),
        AudioCodec::Ac3 | AudioCodec::Eac3 => ac3::parse_frame(frame),
        AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Flac => None,
    }
}

/// Whether configurations of this codec come in records of their own.
pub(super) fn has_record(codec: AudioCodec) -> bool {
    match codec {
        AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Flac => true,
        AudioCodec::Mp3 | AudioCodec::Ac3 | AudioCodec::Eac3 => false,
    }
}

/// Samples in an audio frame, at the configuration's rate.
pub(super) fn audio_samples(config: &AudioConfig, frame: &[u8]) -> Option<u32> {
    match config.codec {
        AudioCodec::Opus => opus::samples(frame),
        AudioCodec::Flac => flac::samples(frame).or(config.samples_per_frame),
        AudioCodec::Aac | AudioCodec::Mp3 | AudioCodec::Ac3 | AudioCodec::Eac3 => {
            config.samples_per_frame
        }
    }
}
