//! What is known of each track, and what its packets become: units with the configuration that
//! decodes them.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::MonoTime;
use crate::media::codec::{self, VideoRecord};
use crate::media::{AudioCodec, AudioConfig, ConfigError, VideoCodec, VideoConfig};

/// A frame before it has its time.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) config: UnitConfig,
    pub(super) keyframe: bool,
    /// Presentation minus decode time, in milliseconds.
    pub(super) composition_millis: i32,
    pub(super) payload: Bytes,
}

/// The configuration that decodes a unit.
#[derive(Clone, Debug)]
pub(super) enum UnitConfig {
    Video(Arc<VideoConfig>),
    Audio(Arc<AudioConfig>),
}

/// What became of a configuration record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    Unchanged,
    First,
    Changed,
}

/// Why a video frame is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// There is no configuration for it.
    NoConfig,
    /// It needs frames that were not passed on.
    NoKeyframe,
    /// Its content makes no sense.
    Broken,
    /// It should describe the picture and does not.
    BadConfig(ConfigError),
}

/// The video track.
#[derive(Debug, Default)]
pub(super) struct VideoTrack {
    record: Option<(Bytes, VideoRecord)>,
    config: Option<Arc<VideoConfig>>,
    /// Frames can follow: a keyframe under the record in force was passed on.
    decodable: bool,
    /// When video first arrived, whatever it was.
    pub(super) seen: Option<MonoTime>,
    /// Since when frames arrive without a configuration.
    pub(super) lacks_config: Option<MonoTime>,
    /// Since when frames arrive without a keyframe among them.
    pub(super) lacks_keyframe: Option<MonoTime>,
    /// Bytes since the last keyframe, itself included.
    pub(super) gop_bytes: usize,
}

impl VideoTrack {
    /// Takes a configuration record. An empty one says nothing, and the same one again changes
    /// nothing.
    pub(super) fn record(
        &mut self,
        codec: VideoCodec,
        record: &Bytes,
    ) -> Result<Recorded, ConfigError> {
        let same = self
            .record
            .as_ref()
            .is_some_and(|(bytes, parsed)| bytes == record && parsed.codec() == codec);
        if same || (record.is_empty() && self.record.is_some()) {
            return Ok(Recorded::Unchanged);
        }
        let parsed = VideoRecord::parse(codec, record)?;
        let before = self.record.replace((record.clone(), parsed));
        self.decodable = false;
        self.lacks_config = None;
        Ok(if before.is_some() { Recorded::Changed } else { Recorded::First })
    }

    pub(super) fn has_record(&self) -> bool {
        self.record.is_some()
    }

    /// The configuration of the newest keyframe.
    pub(super) fn config(&self) -> Option<&Arc<VideoConfig>> {
        self.config.as_ref()
    }

    /// Takes a frame.
    pub(super) fn unit(
        &mut self,
        codec: VideoCodec,
        composition_millis: i32,
        payload: Bytes,
        now: MonoTime,
    ) -> Result<Unit, Dropped> {
        let record = self.record.as_ref().filter(|(_, record)| record.codec() == codec);
        let Some((_, record)) = record else {
            self.lacks_config.get_or_insert(now);
            return Err(Dropped::NoConfig);
        };
        let keyframe = record.is_keyframe(&payload).ok_or(Dropped::Broken)?;
        if keyframe {
            let config = record.config_at(&payload).map_err(Dropped::BadConfig)?;
            if self.config.as_deref() != Some(&config) {
                self.config = Some(Arc::new(config));
            }
            self.decodable = true;
            self.gop_bytes = 0;
            self.lacks_keyframe = Some(now);
        }
        self.lacks_keyframe.get_or_insert(now);
        let config = self.config.as_ref().filter(|_| self.decodable).ok_or(Dropped::NoKeyframe)?;
        self.gop_bytes = self.gop_bytes.saturating_add(payload.len());
        let config = UnitConfig::Video(Arc::clone(config));
        Ok(Unit { config, keyframe, composition_millis, payload })
    }
}

/// The audio track.
#[derive(Debug, Default)]
pub(super) struct AudioTrack {
    record: Option<(AudioCodec, Bytes)>,
    config: Option<Arc<AudioConfig>>,
    /// When audio first arrived, whatever it was.
    pub(super) seen: Option<MonoTime>,
    /// Since when frames arrive without a configuration.
    pub(super) lacks_config: Option<MonoTime>,
}

impl AudioTrack {
    /// Takes a configuration record, as [`VideoTrack::record`] does.
    pub(super) fn record(
        &mut self,
        codec: AudioCodec,
        record: &Bytes,
    ) -> Result<Recorded, ConfigError> {
        let same = self.record.as_ref().is_some_and(|(of, bytes)| bytes == record && *of == codec);
        if same || (record.is_empty() && self.record.is_some()) {
            return Ok(Recorded::Unchanged);
        }
        let Some(config) = codec::audio_from_record(codec, record)? else {
            return Ok(Recorded::Unchanged);
        };
        let before = self.record.replace((codec, record.clone()));
        Ok(self.set(config, before.is_some()))
    }

    /// Reads the configuration out of a frame, for the codecs whose frames carry it. `None` when
    /// the frame is broken.
    pub(super) fn observe(&mut self, codec: AudioCodec, frame: &[u8]) -> Option<Recorded> {
        if codec::has_record(codec) {
            return Some(Recorded::Unchanged);
        }
        let config = codec::audio_from_frame(codec, frame)?;
        if self.config.as_deref() == Some(&config) {
            return Some(Recorded::Unchanged);
        }
        let changed = self.config.is_some();
        Some(self.set(config, changed))
    }

    fn set(&mut self, config: AudioConfig, changed: bool) -> Recorded {
        self.config = Some(Arc::new(config));
        self.lacks_config = None;
        if changed { Recorded::Changed } else { Recorded::First }
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Option<&Arc<AudioConfig>> {
        self.config.as_ref()
    }

    /// The configuration for a frame of this codec.
    pub(super) fn config_for(
        &mut self,
        codec: AudioCodec,
        now: MonoTime,
    ) -> Option<Arc<AudioConfig>> {
        let config = self.config.as_ref().filter(|config| config.codec == codec).cloned();
        if config.is_none() {
            self.lacks_config.get_or_insert(now);
        }
        config
    }
}
