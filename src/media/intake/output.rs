use std::sync::Arc;

use super::interleave::Interleave;
use super::tracks::{Unit, UnitConfig};
use crate::base::{MediaTime, MonoTime};
use crate::media::timeline::Timed;
use crate::media::{AudioConfig, Format, Frame, TrackKind, VideoConfig};

/// Presentation times further away than this from decode times are the mark of a broken sender.
const COMPOSITION_MILLIS_MAX: i32 = 10_000;

/// Runs are at least this long, however often the time jumps (R22).
const RUN_MIN: MediaTime = MediaTime::from_millis(200);

/// The end of the road: frames in order, with their run and their format.
#[derive(Debug)]
pub(super) struct Output {
    interleave: Interleave<Placed>,
    video: Option<Arc<VideoConfig>>,
    audio: Option<Arc<AudioConfig>>,
    format: Option<Arc<Format>>,
    video_began: bool,
    run: u32,
    /// Where the run began, if a break began it.
    run_start: Option<MediaTime>,
    /// A break in time waits for the next keyframe. Until then the frames go on without a hole,
    /// and a decoder that lost its references could show nothing of them anyway.
    break_waits: bool,
}

#[derive(Debug)]
struct Placed {
    pts: MediaTime,
    after_break: bool,
    unit: Unit,
}

impl Output {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            interleave: Interleave::new(bytes_max),
            video: None,
            audio: None,
            format: None,
            video_began: false,
            run: 0,
            run_start: None,
            break_waits: false,
        }
    }

    /// Starts with the tracks that are known.
    pub(super) fn start(
        &mut self,
        video: Option<&Arc<VideoConfig>>,
        audio: Option<&Arc<AudioConfig>>,
    ) {
        self.video = video.cloned();
        self.audio = audio.cloned();
        self.renew_format();
    }

    pub(super) fn format(&self) -> Option<&Arc<Format>> {
        self.format.as_ref()
    }

    pub(super) fn push(&mut self, timed: Timed<Unit>, now: MonoTime) {
        let Timed { track, dts, meant, after_break, item: unit } = timed;
        // Nothing begins before the broadcast does, and video begins with a keyframe.
        if dts < MediaTime::ZERO || (track == TrackKind::Video && !self.decodable(&unit)) {
            return;
        }
        let composition =
            unit.composition_millis.clamp(-COMPOSITION_MILLIS_MAX, COMPOSITION_MILLIS_MAX);
        let pts = (meant + MediaTime::from_millis(composition.into())).max(dts);
        let bytes = unit.payload.len();
        self.interleave.push(track, dts, bytes, Placed { pts, after_break, unit }, now);
    }

    fn decodable(&mut self, video: &Unit) -> bool {
        self.video_began |= video.keyframe;
        self.video_began
    }

    pub(super) fn next(&mut self, now: MonoTime) -> Option<Frame> {
        let (track, dts, placed) = self.interleave.pop(now)?;
        let Placed { pts, after_break, unit } = placed;
        self.adopt(&unit.config);
        self.break_waits |= after_break;
        let can_decode = self.video.is_none() || (track == TrackKind::Video && unit.keyframe);
        let is_due = self.run_start.is_none_or(|start| dts - start >= RUN_MIN);
        if self.break_waits && can_decode && is_due {
            self.break_waits = false;
            self.run = self.run.saturating_add(1);
            self.run_start = Some(dts);
        }
        let format = Arc::clone(self.format.as_ref()?);
        let Unit { keyframe, payload, .. } = unit;
        Some(Frame { track, dts, pts, keyframe, run: self.run, format, payload })
    }

    /// Makes a new format when a frame comes under another configuration. Where the other track
    /// changes too, both changes are one.
    fn adopt(&mut self, config: &UnitConfig) {
        let changed = match config {
            UnitConfig::Video(new) => replace(&mut self.video, new),
            UnitConfig::Audio(new) => replace(&mut self.audio, new),
        };
        if !changed {
            return;
        }
        let other = match config {
            UnitConfig::Video(_) => TrackKind::Audio,
            UnitConfig::Audio(_) => TrackKind::Video,
        };
        if let Some(next) = self.interleave.peek(other) {
            match &next.unit.config {
                UnitConfig::Video(new) => replace(&mut self.video, new),
                UnitConfig::Audio(new) => replace(&mut self.audio, new),
            };
        }
        self.renew_format();
    }

    fn renew_format(&mut self) {
        let format =
            Format { video: self.video.as_deref().cloned(), audio: self.audio.as_deref().cloned() };
        if self.format.as_deref() != Some(&format) {
            self.format = Some(Arc::new(format));
        }
    }
}

/// Puts a configuration in force; whether it is another than before.
fn replace<C>(current: &mut Option<Arc<C>>, new: &Arc<C>) -> bool {
    if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, new)) {
        return false;
    }
    *current = Some(Arc::clone(new));
    true
}
