//! From a publisher's messages to frames.
//!
//! ```text
//! handle_video, handle_audio ─▶ tracks ─▶ Waiting ─▶ Timeline ─▶ Output ─▶ next_frame
//!        limits                 config,   until the  when        order, run,
//!                               keyframe  start                  format
//! ```

mod error;
mod interleave;
mod notice;
mod output;
mod rate;
mod start;
mod tracks;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use error::IntakeError;
pub use notice::Notice;
use notice::Notices;
use output::Output;
use rate::Rate;
use tracks::{AudioTrack, Dropped, Recorded, Unit, UnitConfig, VideoTrack};
use waiting::{Arrived, Content, Waiting};

use super::flv::{AudioContent, AudioPacket, AudioTag, VideoContent, VideoPacket, VideoTag};
use super::timeline::{Finding, Pace, Stamp, Timeline};
use super::{AudioCodec, AudioConfig, Format, Frame, TagError, TrackKind, codec};
use crate::base::{Limits, MediaTime, MonoTime};

/// A keyframe interval above this is worth a word.
const KEYFRAME_INTERVAL_WARN: MediaTime = MediaTime::from_millis(4_000);

/// One per publishing connection: takes FLV tag bodies, gives frames.
///
/// Frames start with a keyframe where there is video, at a time near zero and in run 0. It does
/// not read clocks and does not wait: the caller says what time it is, feeds messages and, about
/// every 100 ms, [`Intake::handle_tick`], and fetches frames and notices after each of them.
/// An error ends the publication; the intake is then of no more use.
#[derive(Debug)]
pub struct Intake {
    limits: Limits,
    hint: MetadataHint,
    video: VideoTrack,
    audio: AudioTrack,
    /// The one track of each kind that is used, once one was seen.
    video_id: Option<u8>,
    audio_id: Option<u8>,
    video_messages: Rate,
    audio_messages: Rate,
    video_changes: Rate,
    audio_changes: Rate,
    /// Media held before the start; none once started.
    waiting: Option<Waiting>,
    timeline: Timeline<Unit>,
    output: Output,
    notices: Notices,
    began: Option<MonoTime>,
    last_keyframe: Option<(u32, MediaTime)>,
    now: MonoTime,
}

/// Longer than any frame waits for another.
const END_WAIT: Duration = Duration::from_secs(10);

/// What the publisher's metadata says. A hint: it is believed only where it saves waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataHint {
    pub has_video: Option<bool>,
    pub has_audio: Option<bool>,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
}

impl Intake {
    pub fn new(limits: &Limits) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);
        let messages = Rate::new(limits.track_messages_per_second_max, SECOND);
        let changes = Rate::new(limits.config_changes_per_minute_max, MINUTE);
        let waiting = Waiting::new(limits.gop_bytes_max, limits.audio_config_wait_max);
        Self {
            limits: limits.clone(),
            hint: MetadataHint::default(),
            video: VideoTrack::default(),
            audio: AudioTrack::default(),
            video_id: None,
            audio_id: None,
            video_messages: messages,
            audio_messages: messages,
            video_changes: changes,
            audio_changes: changes,
            waiting: Some(waiting),
            timeline: Timeline::new(limits.gop_bytes_max),
            output: Output::new(limits.frame_bytes_max),
            notices: Notices::default(),
            began: None,
            last_keyframe: None,
            now: MonoTime::ZERO,
        }
    }

    /// Takes what metadata says; later metadata replaces it.
    pub fn handle_metadata(&mut self, hint: MetadataHint) {
        self.hint = hint;
    }

    /// Takes the body of a video message. `timestamp` counts milliseconds and wraps.
    pub fn handle_video(
        &mut self,
        timestamp: u32,
        body: Bytes,
        now: MonoTime,
    ) -> Result<(), IntakeError> {
        let track = TrackKind::Video;
        self.now = now;
        let whole = body.len();
        self.admit(track, whole, now)?;
        let tag = match VideoTag::parse(body) {
            Ok(tag) => tag,
            Err(_) if whole == 0 => return Ok(()),
            Err(error) if error.is_unsupported_codec() => {
                return Err(IntakeError::CodecNotSupported(error));
            }
            Err(error) => {
                self.notices.give(Notice::BrokenTag(error), now);
                return Ok(());
            }
        };
        self.video.seen.get_or_insert(now);
        for packet in tag.packets {
            if self.uses(track, packet.track) {
                let packet = VideoPacket { content: packet.content.detach(whole), ..packet };
                self.handle_video_packet(packet, timestamp, tag.nanos)?;
            }
        }
        self.advance()
    }

    /// Takes the body of an audio message.
    pub fn handle_audio(
        &mut self,
        timestamp: u32,
        body: Bytes,
        now: MonoTime,
    ) -> Result<(), IntakeError> {
        let track = TrackKind::Audio;
        self.now = now;
        let whole = body.len();
        self.admit(track, whole, now)?;
        let tag = match AudioTag::parse(body) {
            Ok(tag) => tag,
            Err(_) if whole == 0 => return Ok(()),
            // Old encoders send odd audio beside good video; a codec that is named is a choice.
            Err(error @ TagError::AudioCodec(_)) => {
                self.notices.give(Notice::AudioCodecNotSupported(error), now);
                return Ok(());
            }
            Err(error) if error.is_unsupported_codec() => {
                return Err(IntakeError::CodecNotSupported(error));
            }
            Err(error) => {
                self.notices.give(Notice::BrokenTag(error), now);
                return Ok(());
            }
        };
        self.audio.seen.get_or_insert(now);
        for packet in tag.packets {
            if self.uses(track, packet.track) {
                let packet = AudioPacket { content: packet.content.detach(whole), ..packet };
                self.handle_audio_packet(packet, timestamp, tag.nanos)?;
            }
        }
        self.advance()
    }

    /// Time passes: waiting ends, held frames are let go.
    pub fn handle_tick(&mut self, now: MonoTime) -> Result<(), IntakeError> {
        self.now = now;
        self.timeline.handle_tick(now);
        self.advance()
    }

    /// Nothing follows: what waited for more is let go.
    pub fn handle_end(&mut self) {
        // A rule that this breaks has nothing left to end.
        let _ = self.handle_tick(self.now + END_WAIT);
    }

    /// The next frame: decode order within a track, tracks interleaved by decode time.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let frame = self.output.next(self.now)?;
        if frame.track == TrackKind::Video && frame.keyframe {
            self.learn_interval(&frame);
        }
        Some(frame)
    }

    /// The next thing the broadcaster should know.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.next()
    }

    /// When the frame arrived that the broadcast begins with; it may have been held since. None
    /// before the start.
    pub const fn began(&self) -> Option<MonoTime> {
        self.began
    }

    /// The format in force; none before the start.
    pub fn format(&self) -> Option<&Arc<Format>> {
        self.output.format()
    }

    /// Limits on every message, whatever it holds (R26).
    fn admit(&mut self, track: TrackKind, got: usize, now: MonoTime) -> Result<(), IntakeError> {
        let messages = match track {
            TrackKind::Video => &mut self.video_messages,
            TrackKind::Audio => &mut self.audio_messages,
        };
        messages
            .count(now)
            .map_err(|too_many| IntakeError::TooManyMessages { track, max: too_many.max })?;
        let max = self.limits.frame_bytes_max;
        if got > max {
            return Err(IntakeError::FrameTooLarge { track, got, max });
        }
        Ok(())
    }

    /// Whether a multitrack id is the one we use: the first seen.
    fn uses(&mut self, track: TrackKind, id: u8) -> bool {
        let used = match track {
            TrackKind::Video => self.video_id.get_or_insert(id),
            TrackKind::Audio => self.audio_id.get_or_insert(id),
        };
        let used = *used == id;
        if !used {
            self.notices.give(Notice::ExtraTrack { track, id }, self.now);
        }
        used
    }

    fn handle_video_packet(
        &mut self,
        packet: VideoPacket,
        timestamp: u32,
        nanos: u32,
    ) -> Result<(), IntakeError> {
        match packet.content {
            VideoContent::Config(record) => self.handle_video_record(packet.codec, &record),
            VideoContent::Frame { payload, .. } if payload.is_empty() => Ok(()),
            VideoContent::Frame { composition_millis, payload } => {
                let unit = self.video.unit(packet.codec, composition_millis, payload, self.now);
                self.check_gop()?;
                match unit {
                    Ok(unit) => self.accept(timestamp, nanos, unit),
                    Err(dropped) => self.report(dropped),
                }
                Ok(())
            }
            // More may follow under the same configuration, as after a pause of the encoder.
            VideoContent::End => Ok(()),
        }
    }

    fn handle_video_record(
        &mut self,
        codec: super::VideoCodec,
        record: &Bytes,
    ) -> Result<(), IntakeError> {
        let track = TrackKind::Video;
        match self.video.record(codec, record) {
            Ok(Recorded::Changed) => self.count_change(track),
            Ok(Recorded::First | Recorded::Unchanged) => Ok(()),
            Err(error) if self.video.has_record() || record.is_empty() => {
                self.notices.give(Notice::BadConfig { track, error }, self.now);
                Ok(())
            }
            Err(error) => Err(IntakeError::BadVideoConfig(error)),
        }
    }

    fn handle_audio_packet(
        &mut self,
        packet: AudioPacket,
        timestamp: u32,
        nanos: u32,
    ) -> Result<(), IntakeError> {
        let track = TrackKind::Audio;
        match packet.content {
            AudioContent::Config(record) => match self.audio.record(packet.codec, &record) {
                Ok(Recorded::Changed) => self.count_change(track),
                Ok(Recorded::First | Recorded::Unchanged) => Ok(()),
                Err(error) => {
                    self.notices.give(Notice::BadConfig { track, error }, self.now);
                    Ok(())
                }
            },
            AudioContent::Frame(payload) if payload.is_empty() => Ok(()),
            AudioContent::Frame(payload) => {
                match self.audio.observe(packet.codec, &payload) {
                    Some(Recorded::Changed) => self.count_change(track)?,
                    Some(Recorded::First | Recorded::Unchanged) => {}
                    None => {
                        self.notices.give(Notice::BrokenFrame { track }, self.now);
                        return Ok(());
                    }
                }
                self.accept_audio(packet.codec, timestamp, nanos, payload);
                Ok(())
            }
            AudioContent::End => Ok(()),
        }
    }

    fn count_change(&mut self, track: TrackKind) -> Result<(), IntakeError> {
        let changes = match track {
            TrackKind::Video => &mut self.video_changes,
            TrackKind::Audio => &mut self.audio_changes,
        };
        changes
            .count(self.now)
            .map_err(|too_many| IntakeError::TooManyConfigChanges { track, max: too_many.max })
    }

    /// The open GOP's bytes (R25) and the wait for a keyframe (R24).
    fn check_gop(&self) -> Result<(), IntakeError> {
        let (got, max) = (self.video.gop_bytes, self.limits.gop_bytes_max);
        if got > max {
            return Err(IntakeError::GopTooLarge { got, max });
        }
        let since = self.video.lacks_keyframe.unwrap_or(self.now);
        let waited = self.now.since(since);
        if waited >= self.limits.keyframe_wait_max {
            return Err(IntakeError::NoKeyframe { waited });
        }
        Ok(())
    }

    fn report(&mut self, dropped: Dropped) {
        let track = TrackKind::Video;
        let notice = match dropped {
            // The wait for these has its own limits and notices.
            Dropped::NoConfig | Dropped::NoKeyframe => return,
            Dropped::Broken => Notice::BrokenFrame { track },
            Dropped::BadConfig(error) => Notice::BadConfig { track, error },
        };
        self.notices.give(notice, self.now);
    }

    fn accept_audio(&mut self, codec: AudioCodec, timestamp: u32, nanos: u32, payload: Bytes) {
        let config = self.audio.config_for(codec, self.now);
        match (config, &mut self.waiting) {
            (Some(config), _) => self.accept(timestamp, nanos, audio_unit(config, payload)),
            (None, Some(waiting)) => {
                let content = Content::BareAudio(codec, payload);
                waiting.push(Arrived { at: self.now, timestamp, nanos, content });
            }
            (None, None) => {}
        }
    }

    fn accept(&mut self, timestamp: u32, nanos: u32, unit: Unit) {
        match &mut self.waiting {
            Some(waiting) => {
                let content = Content::Unit(unit);
                waiting.push(Arrived { at: self.now, timestamp, nanos, content });
            }
            None => self.place(timestamp, nanos, unit),
        }
    }

    fn place(&mut self, timestamp: u32, nanos: u32, unit: Unit) {
        let Some(pace) = unit.pace() else {
            let track = unit.track();
            self.notices.give(Notice::BrokenFrame { track }, self.now);
            return;
        };
        let stamp = Stamp { timestamp, nanos, pace };
        self.timeline.push(unit.track(), stamp, unit.payload.len(), unit, self.now);
    }

    /// Moves everything on as far as it can go at this moment.
    fn advance(&mut self) -> Result<(), IntakeError> {
        self.check_waits()?;
        if let Some(with) = self.start_with() {
            self.start(with);
        }
        while let Some(timed) = self.timeline.next() {
            self.output.push(timed, self.now);
        }
        while let Some(finding) = self.timeline.next_finding() {
            let notice = match finding {
                Finding::OddFrames { track, .. } => Notice::OddTimestamps { track },
                Finding::Jump { track, by } => Notice::TimeJump { track, by },
                Finding::NoTimestamps { track } => Notice::NoTimestamps { track },
            };
            self.notices.give(notice, self.now);
        }
        Ok(())
    }

    /// Tells the broadcaster when keyframes are far apart (R24).
    fn learn_interval(&mut self, keyframe: &Frame) {
        let before = self.last_keyframe.replace((keyframe.run, keyframe.dts));
        let Some((_, dts)) = before.filter(|&(run, _)| run == keyframe.run) else { return };
        let interval = keyframe.dts - dts;
        if interval > KEYFRAME_INTERVAL_WARN {
            self.notices.give(Notice::KeyframeInterval { interval }, self.now);
        }
    }
}

fn audio_unit(config: Arc<AudioConfig>, payload: Bytes) -> Unit {
    Unit { config: UnitConfig::Audio(config), keyframe: true, composition_millis: 0, payload }
}

impl Unit {
    fn track(&self) -> TrackKind {
        match &self.config {
            UnitConfig::Video(_) => TrackKind::Video,
            UnitConfig::Audio(_) => TrackKind::Audio,
        }
    }

    /// What is known of the unit's length; none for audio that makes no sense.
    fn pace(&self) -> Option<Pace> {
        match &self.config {
            UnitConfig::Video(config) => Some(Pace::Video(
                config
                    .frame_rate
                    .map(|(frames, seconds)| MediaTime::from_ticks(seconds.into(), frames)),
            )),
            UnitConfig::Audio(config) => {
                let samples = codec::audio_samples(config, &self.payload)?;
                Some(Pace::Audio { samples, rate: config.sample_rate })
            }
        }
    }
}

#[cfg(test)]
mod encoder_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;
