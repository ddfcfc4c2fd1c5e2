//! When a broadcast starts, and with which tracks (R15 to R18).

use std::sync::Arc;
use std::time::Duration;

use super::waiting::Content;
use super::{Intake, IntakeError, Notice, audio_unit};
use crate::base::{MediaTime, MonoTime};

/// Video without configuration for this long is worth a word.
const VIDEO_CONFIG_WARN: Duration = Duration::from_secs(5);
/// Which tracks a broadcast starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartWith {
    /// Video, and audio where its configuration is known.
    Known,
    /// Video alone, though audio arrives: its configuration does not.
    VideoAlone,
}

impl Intake {
    /// Configurations that do not come (R15, R16).
    pub(super) fn check_waits(&mut self) -> Result<(), IntakeError> {
        let waited = |since: Option<MonoTime>| since.map(|since| self.now.since(since));
        if let Some(waited) = waited(self.video.lacks_config) {
            if waited >= self.limits.video_config_wait_max {
                return Err(IntakeError::NoVideoConfig { waited });
            }
            if waited >= VIDEO_CONFIG_WARN {
                self.notices.give(Notice::VideoConfigMissing, self.now);
            }
        }
        let audio = waited(self.audio.lacks_config);
        if audio.is_some_and(|waited| waited >= self.limits.audio_config_wait_max) {
            self.notices.give(Notice::AudioConfigMissing, self.now);
        }
        Ok(())
    }

    /// Whether the broadcast can start now, and with what (R15 to R18).
    pub(super) fn start_with(&self) -> Option<StartWith> {
        let waiting = self.waiting.as_ref()?;
        let patient =
            |since: Option<MonoTime>, wait| since.is_some_and(|since| self.now.since(since) < wait);
        if !waiting.has_keyframe() {
            let audio_alone = self.video.seen.is_none() && self.audio.config().is_some();
            let sure = self.hint.has_video == Some(false)
                || !patient(self.audio.seen, self.limits.track_wait_max);
            return (audio_alone && sure).then_some(StartWith::Known);
        }
        if self.audio.config().is_some() {
            return Some(StartWith::Known);
        }
        if waiting.is_full() {
            return Some(StartWith::VideoAlone);
        }
        if self.audio.lacks_config.is_some() {
            let patient = patient(self.audio.lacks_config, self.limits.audio_config_wait_max);
            return (!patient).then_some(StartWith::VideoAlone);
        }
        let sure = self.hint.has_audio == Some(false) && self.audio.seen.is_none()
            || !patient(waiting.keyframe_at, self.limits.track_wait_max);
        sure.then_some(StartWith::Known)
    }

    pub(super) fn start(&mut self, with: StartWith) {
        let Some(waiting) = self.waiting.take() else { return };
        let audio = self.audio.config().cloned().filter(|_| with == StartWith::Known);
        let video = if waiting.has_keyframe() { self.video.config() } else { None };
        self.output.start(video, audio.as_ref());
        let frame = audio.as_ref().and_then(|audio| {
            Some(MediaTime::from_ticks(audio.samples_per_frame?.into(), audio.sample_rate))
        });
        let released = waiting.release(frame.unwrap_or_default().as_micros());
        let first = released.iter().find(|held| held.is_keyframe()).or(released.first());
        self.began = first.map(|first| first.at);
        for arrived in released {
            let unit = match (arrived.content, &audio) {
                (Content::Unit(unit), _) => unit,
                (Content::BareAudio(codec, payload), Some(audio)) if audio.codec == codec => {
                    audio_unit(Arc::clone(audio), payload)
                }
                (Content::BareAudio(..), _) => continue,
            };
            self.place(arrived.timestamp, arrived.nanos, unit);
        }
    }
}
