use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::base::{MediaTime, MonoTime};
use crate::media::{ConfigError, TagError, TrackKind};

/// The same kind of notice is given once in this time.
const REPEAT: Duration = Duration::from_secs(30);
/// Notices nobody fetched; there are fewer kinds.
const WAITING_MAX: usize = 32;

/// Something the broadcaster should know; the broadcast goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A message was skipped.
    BrokenTag(TagError),
    /// A frame was dropped because its content makes no sense.
    BrokenFrame { track: TrackKind },
    /// Video arrives and is dropped, because its configuration never came.
    VideoConfigMissing,
    /// Audio is left out, because its configuration never came.
    AudioConfigMissing,
    /// A configuration was skipped; the one before stays in force, if there was one.
    BadConfig { track: TrackKind, error: ConfigError },
    /// Audio is left out: its codec is none of ours.
    AudioCodecNotSupported(TagError),
    /// Tracks beside the first are not used.
    ExtraTrack { track: TrackKind, id: u8 },
    /// Viewers wait longer than they should.
    KeyframeInterval { interval: MediaTime },
    /// Single times made no sense and were replaced.
    OddTimestamps { track: TrackKind },
    /// The time jumped, and the broadcast was put together again.
    TimeJump { track: TrackKind, by: MediaTime },
    /// Times stand still; they are made from the frame rate.
    NoTimestamps { track: TrackKind },
}

impl Notice {
    /// The label of metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BrokenTag(_) => "broken_tag",
            Self::BrokenFrame { .. } => "broken_frame",
            Self::VideoConfigMissing => "video_config_missing",
            Self::AudioConfigMissing => "audio_config_missing",
            Self::BadConfig { .. } => "bad_config",
            Self::AudioCodecNotSupported(_) => "audio_codec_not_supported",
            Self::ExtraTrack { .. } => "extra_track",
            Self::KeyframeInterval { .. } => "keyframe_interval",
            Self::OddTimestamps { .. } => "odd_timestamps",
            Self::TimeJump { .. } => "time_jump",
            Self::NoTimestamps { .. } => "no_timestamps",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenTag(error) => write!(f, "a message was skipped: {error}"),
            Self::BrokenFrame { track } => {
                write!(f, "a broken {} frame was dropped", track.as_str())
            }
            Self::VideoConfigMissing => {
                f.write_str("video arrives without its configuration and is dropped")
            }
            Self::AudioConfigMissing => {
                f.write_str("audio arrives without its configuration and is left out")
            }
            Self::BadConfig { track, error } => {
                write!(f, "a {} configuration was skipped: {error}", track.as_str())
            }
            Self::AudioCodecNotSupported(error) => write!(f, "audio is left out: {error}"),
            Self::ExtraTrack { track, id } => {
                let track = track.as_str();
                write!(f, "{track} track {id} is not used, only the first {track} track is")
            }
            Self::KeyframeInterval { interval } => {
                let seconds = interval.as_secs_f64();
                write!(f, "keyframe interval {seconds:.1} s, set 2 s in the encoder")
            }
            Self::OddTimestamps { track } => {
                write!(f, "{} timestamps made no sense and were replaced", track.as_str())
            }
            Self::TimeJump { track, by } => {
                let (track, seconds) = (track.as_str(), by.as_secs_f64());
                write!(f, "{track} timestamps jumped by {seconds:.1} s; viewers see a break")
            }
            Self::NoTimestamps { track } => {
                let track = track.as_str();
                write!(f, "{track} timestamps stand still; times are made from the frame rate")
            }
        }
    }
}

/// Notices on their way out, each kind at most once in 30 seconds.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    given: Vec<(&'static str, MonoTime)>,
}

impl Notices {
    pub(super) fn give(&mut self, notice: Notice, now: MonoTime) {
        let kind = notice.as_str();
        match self.given.iter_mut().find(|(given, _)| *given == kind) {
            Some((_, at)) if now.since(*at) < REPEAT => return,
            Some((_, at)) => *at = now,
            None => self.given.push((kind, now)),
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(notice);
        }
    }

    pub(super) fn next(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_comes_once_in_half_a_minute() {
        let mut notices = Notices::default();
        let mut given = 0;
        for second in 0..70 {
            let now = MonoTime::ZERO + Duration::from_secs(second);
            for _ in 0..100 {
                notices.give(Notice::BrokenFrame { track: TrackKind::Video }, now);
                notices.give(Notice::AudioConfigMissing, now);
            }
            given += std::iter::from_fn(|| notices.next()).count();
        }
        assert_eq!(given, 6);
    }

    #[test]
    fn the_advice_is_in_words() {
        let notice = Notice::KeyframeInterval { interval: MediaTime::from_millis(8_333) };
        assert_eq!(notice.to_string(), "keyframe interval 8.3 s, set 2 s in the encoder");
    }
}
