use std::collections::VecDeque;
use std::time::Duration;

use super::tracks::Unit;
use crate::base::MonoTime;
use crate::media::{AudioCodec, TrackKind};

/// Media that arrived before the broadcast could start: from the newest keyframe on, and the
/// newest audio. Bounded in bytes by dropping the oldest audio.
#[derive(Debug)]
pub(super) struct Waiting {
    held: VecDeque<Arrived>,
    bytes: usize,
    bytes_max: usize,
    audio_held_max: Duration,
    /// When the first keyframe arrived.
    pub(super) keyframe_at: Option<MonoTime>,
}

/// One message's worth of media.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) at: MonoTime,
    pub(super) timestamp: u32,
    pub(super) nanos: u32,
    pub(super) content: Content,
}

/// Audio may wait for its configuration.
#[derive(Debug)]
pub(super) enum Content {
    Unit(Unit),
    BareAudio(AudioCodec, bytes::Bytes),
}

impl Arrived {
    pub(super) fn track(&self) -> TrackKind {
        match &self.content {
            Content::Unit(unit) => unit.track(),
            Content::BareAudio(..) => TrackKind::Audio,
        }
    }

    fn bytes(&self) -> usize {
        match &self.content {
            Content::Unit(unit) => unit.payload.len(),
            Content::BareAudio(_, payload) => payload.len(),
        }
    }

    pub(super) fn is_keyframe(&self) -> bool {
        match &self.content {
            Content::Unit(unit) => unit.track() == TrackKind::Video && unit.keyframe,
            Content::BareAudio(..) => false,
        }
    }
}

impl Waiting {
    pub(super) fn new(bytes_max: usize, audio_held_max: Duration) -> Self {
        Self { held: VecDeque::new(), bytes: 0, bytes_max, audio_held_max, keyframe_at: None }
    }

    /// Holds one more. A keyframe lets go of the video before it.
    pub(super) fn push(&mut self, arrived: Arrived) {
        let now = arrived.at;
        if arrived.is_keyframe() {
            self.keyframe_at.get_or_insert(now);
            self.held.retain(|held| held.track() == TrackKind::Audio);
        }
        self.held.push_back(arrived);
        self.bytes = self.held.iter().map(Arrived::bytes).sum();
        let old = |held: &Arrived, max| now.since(held.at) > max;
        while let Some(place) = self.held.iter().position(|held| {
            held.track() == TrackKind::Audio
                && (old(held, self.audio_held_max) || self.bytes > self.bytes_max)
        }) {
            let gone = self.held.remove(place);
            self.bytes -= gone.map_or(0, |gone| gone.bytes());
        }
    }

    pub(super) fn has_keyframe(&self) -> bool {
        self.held.iter().any(Arrived::is_keyframe)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// What the broadcast starts with, earliest first. With video, audio that ended before the
    /// keyframe is left out: `audio_micros` is the length of an audio frame.
    pub(super) fn release(self, audio_micros: i64) -> Vec<Arrived> {
        /// Stamps further apart than this belong to clocks with different starts.
        const SAME_CLOCK_MICROS: i64 = 2_000_000;
        let Some(keyframe) = self.held.iter().position(Arrived::is_keyframe) else {
            return self.held.into();
        };
        let zero = self.held.get(keyframe).map_or(0, |held| held.timestamp);
        // Where a frame lies against the keyframe; none where its clock does not tell.
        let after_keyframe = |held: &Arrived| {
            let micros = i64::from(held.timestamp.wrapping_sub(zero).cast_signed()) * 1_000;
            (micros.abs() <= SAME_CLOCK_MICROS).then_some(micros)
        };
        let mut released: Vec<_> = self.held.into_iter().enumerate().collect();
        released.retain(|(place, held)| match (held.track(), after_keyframe(held)) {
            (TrackKind::Video, _) => true,
            (TrackKind::Audio, Some(micros)) => micros > -audio_micros,
            (TrackKind::Audio, None) => *place > keyframe,
        });
        // The timeline begins with what it gets first: audio that starts before the keyframe,
        // then the keyframe, then the rest as it came.
        released.sort_by_key(|(place, held)| {
            let is_earlier = after_keyframe(held).is_some_and(|micros| micros < 0);
            match held.track() {
                TrackKind::Audio if is_earlier => 0,
                TrackKind::Video if *place == keyframe => 1,
                TrackKind::Audio | TrackKind::Video => 2,
            }
        });
        released.into_iter().map(|(_, held)| held).collect()
    }
}
