use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;

use super::keyframes::Keyframes;
use super::lane::Lane;
use super::listing::Listing;
use super::pace::Pace;
use super::segment::{Cut, Targets};
use super::sound::SoundClock;
use crate::base::{Limits, MediaTime};
use crate::media::fmp4::{VIDEO_TIMESCALE, write_part};
use crate::media::{Format, Frame, Stored, TrackKind};

/// A segment may be this much longer than the target duration and still round to it
/// (draft-pantos-hls-rfc8216bis 4.4.3.1; H12).
const ROUNDED_OFF: Duration = Duration::from_millis(499);

/// Cuts one run: frames of an unbroken timeline and one format.
///
/// One track, video where there is video, is the *reference*: its frames decide where parts and
/// segments end (R20), the other track's frames go into whichever part is open when they come.
///
/// A part is closed the moment its last frame is here, not when the next one shows that it was
/// the last: its end is where the next frame is expected. [`Lane`] keeps that promise honest.
#[derive(Debug)]
pub(super) struct Cutter {
    reference: TrackKind,
    timescale: u32,
    bounds: Bounds,
    pace: Pace,
    keyframes: Keyframes,
    video: Lane,
    audio: Lane,
    sound: Option<SoundClock>,
    audio_timescale: u32,
    /// Where the open part starts, in ticks of the reference.
    part_start: i64,
    /// Where its segment starts.
    segment_start: i64,
    /// The open part holds a keyframe of the reference.
    independent: bool,
    stored: Vec<Stored>,
}

/// Lengths in ticks of the reference.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    part_min: i64,
    part_max: i64,
    /// The segment length aimed at.
    segment_aim: i64,
    /// The longest a segment may be.
    segment_max: i64,
    part_bytes_max: usize,
    part_frames_max: usize,
}

/// The track whose frames decide the cuts.
pub(super) fn reference(format: &Format) -> Option<TrackKind> {
    let video = format.video.as_ref().map(|_| TrackKind::Video);
    video.or(format.audio.as_ref().map(|_| TrackKind::Audio))
}

impl Cutter {
    /// `aim` is the segment length asked for, `start` the decode time of the run's first
    /// reference frame.
    pub(super) fn new(
        format: &Format,
        (pace, keyframes): (Pace, Keyframes),
        targets: Targets,
        aim: Duration,
        limits: &Limits,
        start: MediaTime,
    ) -> Self {
        let reference = reference(format).unwrap_or(TrackKind::Video);
        let audio_timescale = format.audio.as_ref().map_or(1, |audio| audio.sample_rate.max(1));
        let timescale = match reference {
            TrackKind::Video => VIDEO_TIMESCALE,
            TrackKind::Audio => audio_timescale,
        };
        let ticks = |length: Duration| MediaTime::from(length).to_ticks(timescale);
        let part_max = floor_ticks(targets.part, timescale);
        let bounds = Bounds {
            part_min: part_max * 85 / 100 + 2,
            part_max,
            segment_aim: ticks(aim),
            segment_max: ticks(targets.segment + ROUNDED_OFF),
            part_bytes_max: limits.gop_bytes_max,
            part_frames_max: usize::try_from(limits.track_messages_per_second_max).unwrap_or(1),
        };
        let start = start.to_ticks(timescale).max(0);
        Self {
            reference,
            timescale,
            bounds,
            pace,
            keyframes,
            video: Lane::new(TrackKind::Video),
            audio: Lane::new(TrackKind::Audio),
            sound: format.audio.as_ref().map(SoundClock::new),
            audio_timescale,
            part_start: start,
            segment_start: start,
            independent: false,
            stored: Vec::new(),
        }
    }

    /// What the parts hold that were written since [`Self::forget_stored`].
    pub(super) fn stored(&self) -> &[Stored] {
        &self.stored
    }

    pub(super) fn forget_stored(&mut self) {
        self.stored.clear();
    }

    /// Where the run's first part starts.
    pub(super) fn start(&self) -> MediaTime {
        MediaTime::from_ticks(self.segment_start, self.timescale)
    }

    /// End of what is listed of the run: where the open part starts.
    pub(super) fn position(&self) -> MediaTime {
        MediaTime::from_ticks(self.part_start, self.timescale)
    }

    /// Up to where the frames of `track` go: its newest frame, or what earlier parts promised.
    pub(super) fn reached(&self, track: TrackKind) -> Option<MediaTime> {
        match track {
            TrackKind::Video => {
                self.video.reached().map(|at| MediaTime::from_ticks(at, VIDEO_TIMESCALE))
            }
            TrackKind::Audio => {
                self.audio.reached().map(|at| MediaTime::from_ticks(at, self.audio_timescale))
            }
        }
    }

    /// No frame of the reference that is decoded before this is expected to complete anything: the
    /// open part has room for it, and no keyframe is foreseen to follow it.
    pub(super) fn due(&self) -> MediaTime {
        let frame = self.frame_ticks();
        let full = self.latest() - frame - frame / 2;
        let foreseen = match self.reference {
            TrackKind::Video => self.keyframes.last_of_gop(frame).map(|at| at - frame / 2),
            TrackKind::Audio => None,
        };
        MediaTime::from_ticks(full.min(foreseen.unwrap_or(full)), self.timescale)
    }

    /// Takes the next frame.
    pub(super) fn push(&mut self, frame: &Arc<Frame>, listing: &mut Listing, out: &mut Vec<Cut>) {
        let at = match (frame.track, &mut self.sound) {
            (TrackKind::Video, _) => frame.dts.to_ticks(VIDEO_TIMESCALE),
            (TrackKind::Audio, Some(sound)) => {
                sound.place(frame.dts.to_ticks(self.audio_timescale))
            }
            (TrackKind::Audio, None) => return, // the format has no such track
        };
        if frame.track == self.reference {
            self.push_reference(frame, at, listing, out);
        } else {
            self.push_companion(frame, at, listing, out);
        }
    }

    /// The run ends: the open part is closed with what it has, and its segment. Its last frame
    /// lasts until `until`, and no longer than expected.
    pub(super) fn finish(
        &mut self,
        until: Option<MediaTime>,
        listing: &mut Listing,
        out: &mut Vec<Cut>,
    ) {
        let until = until.map_or(i64::MAX, |until| until.to_ticks(self.timescale));
        let end = match self.reference_lane().newest() {
            Some(newest) => {
                let least = newest + self.sliver_ticks();
                Some(until.max(least).min(newest + self.frame_ticks()))
            }
            // Sound alone: it may lie wholly in earlier parts, and outlast the pictures. A segment is
            // as long as its pictures (H14), to a frame, and a part has a length.
            None => (!self.audio.is_empty()).then(|| {
                let start = self.part_start;
                let sound = self.companion_until().min(start + self.frame_ticks());
                sound.max(start + self.sliver_ticks())
            }),
        };
        if let Some(end) = end {
            self.close_part(end.min(self.latest()), listing, out);
        }
        listing.close(out);
    }

    fn push_reference(
        &mut self,
        frame: &Arc<Frame>,
        at: i64,
        listing: &mut Listing,
        out: &mut Vec<Cut>,
    ) {
        self.pace.observe(frame.dts);
        self.advance(at, listing, out);
        if self.keyframe_cuts(frame, at) {
            if !self.reference_lane().is_empty() {
                self.close_part(at, listing, out);
            }
            self.close_segment(listing, out);
        } else if !self.reference_lane().is_empty() && self.is_overfull(frame) {
            self.close_part(at, listing, out);
            self.close_segment(listing, out);
        }
        self.independent |= frame.keyframe;
        self.keyframes.observe(at, frame.keyframe);
        let shown = match self.reference {
            TrackKind::Video => frame.pts.to_ticks(VIDEO_TIMESCALE),
            TrackKind::Audio => at,
        };
        self.reference_lane_mut().push(frame, at, shown);
        self.close_at_once(at, listing, out);
    }

    /// Frames of the other track wait for the reference, but not for ever: when they are a part
    /// ahead, the reference has lost frames or stopped, and parts go on without it (R27). Nor do
    /// they fill the open part beyond its bytes and frames while the reference is silent.
    fn push_companion(
        &mut self,
        frame: &Arc<Frame>,
        at: i64,
        listing: &mut Listing,
        out: &mut Vec<Cut>,
    ) {
        let now = frame.dts.to_ticks(self.timescale);
        while self.part_start + 2 * self.bounds.part_max < now {
            self.close_full_part(self.latest(), listing, out);
        }
        if self.is_overfull(frame) {
            let newest = self.reference_lane().newest();
            let end = newest.map_or(now, |newest| now.max(newest + self.frame_ticks()));
            self.close_part(end.min(self.latest()), listing, out);
            // The part may be too short for any place but the last of its segment (H74).
            self.close_segment(listing, out);
        }
        self.audio.push(frame, at, at);
    }

    /// Closes parts until a reference frame at `at` fits the open one.
    fn advance(&mut self, at: i64, listing: &mut Listing, out: &mut Vec<Cut>) {
        loop {
            let latest = self.latest();
            let empty = self.reference_lane().is_empty();
            let room = if empty { 0 } else { self.frame_ticks() / 2 };
            if at + room <= latest && (at < latest || !empty) {
                return;
            }
            let earliest = if empty { latest } else { self.part_start + self.bounds.part_min };
            self.close_full_part(at.clamp(earliest.min(latest), latest), listing, out);
        }
    }

    /// With the frame at `at` the open part may be complete, or its segment.
    fn close_at_once(&mut self, at: i64, listing: &mut Listing, out: &mut Vec<Cut>) {
        let frame = self.frame_ticks();
        let latest = self.latest();
        let end = (at + frame).min(latest);
        let foreseen = self.keyframes.next_is_keyframe() && self.would_cut(end);
        // One more frame would cross the part target by more than its jitter.
        let full = latest < at + frame + frame / 2;
        if full {
            let least = (self.part_start + self.bounds.part_min).min(latest);
            let end = if foreseen { end } else { end.max(least) };
            self.close_full_part(end, listing, out);
        } else if foreseen {
            self.close_part(end, listing, out);
        }
        if foreseen {
            self.close_segment(listing, out);
        }
    }

    fn keyframe_cuts(&self, frame: &Frame, at: i64) -> bool {
        frame.keyframe && self.reference == TrackKind::Video && self.would_cut(at)
    }

    /// Whether a keyframe at `at` should start a segment: it is the nearest to the length aimed
    /// at, or the next one would come too late (R22: but never a cut within a part's length).
    fn would_cut(&self, at: i64) -> bool {
        let length = at - self.segment_start;
        if self.reference == TrackKind::Audio || length < self.bounds.part_max {
            return false;
        }
        let aim = self.bounds.segment_aim;
        let gop = self.keyframes.expected_gop(at, self.frame_ticks()).unwrap_or(length);
        let nearest = 2 * aim <= 2 * length + gop.min(aim);
        nearest || self.bounds.segment_max < length.saturating_add(gop)
    }

    /// Where the open part ends at the latest: at the part target, and with its segment.
    fn latest(&self) -> i64 {
        (self.part_start + self.bounds.part_max).min(self.segment_start + self.bounds.segment_max)
    }

    /// Lists the open part, and closes its segment with it if that is full. One shorter than a part
    /// may be is the last of its segment (H74).
    fn close_full_part(&mut self, end: i64, listing: &mut Listing, out: &mut Vec<Cut>) {
        let start = self.part_start;
        self.close_part(end, listing, out);
        if self.part_start - start < self.bounds.part_min || self.segment_is_full() {
            self.close_segment(listing, out);
        }
    }

    /// The segment has no room for another part, or, without keyframes to wait for, is as near
    /// to the length aimed at as it gets. With video this is a GOP longer than the target: the
    /// next segment starts without a keyframe (R24). Where one should come before the segment must
    /// end, a shorter part still has room.
    fn segment_is_full(&self) -> bool {
        let length = self.part_start - self.segment_start;
        let part = self.bounds.part_max;
        match self.reference {
            TrackKind::Video => {
                let end = self.segment_start + self.bounds.segment_max;
                let next = self.keyframes.next(self.frame_ticks());
                let foreseen = next.is_some_and(|at| self.part_start < at && at <= end);
                !foreseen && self.bounds.segment_max < length + part
            }
            TrackKind::Audio => {
                2 * self.bounds.segment_aim < 2 * length + part
                    || self.bounds.segment_max < length + part
            }
        }
    }

    fn close_segment(&mut self, listing: &mut Listing, out: &mut Vec<Cut>) {
        listing.close(out);
        self.segment_start = self.part_start;
    }

    /// Lists the open part, with `end` in ticks of the reference.
    fn close_part(&mut self, end: i64, listing: &mut Listing, out: &mut Vec<Cut>) {
        let tolerance = self.frame_ticks() * 3 / 4;
        let end = end.max(self.part_start + 1);
        let (video_end, audio_end) = match self.reference {
            TrackKind::Video => (end, self.companion_end()),
            TrackKind::Audio => (0, end),
        };
        let video = self.video.close(video_end, tolerance);
        let audio = self.audio.close(audio_end, tolerance);
        let closed = match self.reference {
            TrackKind::Video => &video,
            TrackKind::Audio => &audio,
        };
        let end = closed.as_ref().map_or(end, |(_, end)| *end);
        let runs: Vec<_> = video.into_iter().chain(audio).map(|(run, _)| run).collect();
        let sequence = u32::try_from(listing.next_part() & u64::from(u32::MAX)).unwrap_or(0);
        let bytes = (!runs.is_empty()).then(|| write_part(sequence, &runs));
        let mut rest = bytes.clone().unwrap_or_default();
        let payload: usize = self.video.bytes() + self.audio.bytes();
        rest.advance(rest.len().saturating_sub(payload));
        for frame in self.video.drain().chain(self.audio.drain()) {
            let payload = rest.split_to(frame.payload.len().min(rest.len()));
            let (track, run, dts) = (frame.track, frame.run, frame.dts);
            self.stored.push(Stored { track, run, dts, payload });
        }
        let until = MediaTime::from_ticks(end, self.timescale);
        if bytes.is_none() {
            self.video.skip_to(until.to_ticks(VIDEO_TIMESCALE));
            self.audio.skip_to(until.to_ticks(self.audio_timescale));
        }
        listing.part(until, std::mem::take(&mut self.independent), bytes, out);
        self.part_start = end;
    }

    /// Where the companion's newest frame is expected to end.
    fn companion_end(&self) -> i64 {
        let length = self.sound.as_ref().map_or(1, SoundClock::length);
        self.audio.newest().map_or(0, |newest| newest + length)
    }

    /// The same in ticks of the reference.
    fn companion_until(&self) -> i64 {
        MediaTime::from_ticks(self.companion_end(), self.audio_timescale).to_ticks(self.timescale)
    }

    /// Whether `frame` is too much for what the open part already holds.
    fn is_overfull(&self, frame: &Frame) -> bool {
        let bytes = self.video.bytes() + self.audio.bytes() + frame.payload.len();
        let frames = match frame.track {
            TrackKind::Video => self.video.len(),
            TrackKind::Audio => self.audio.len(),
        };
        let holds_any = !self.video.is_empty() || !self.audio.is_empty();
        holds_any && (self.bounds.part_bytes_max < bytes || self.bounds.part_frames_max <= frames)
    }

    /// The expected length of a reference frame.
    fn frame_ticks(&self) -> i64 {
        match (self.reference, &self.sound) {
            (TrackKind::Audio, Some(sound)) => sound.length(),
            (TrackKind::Audio | TrackKind::Video, _) => self.pace.interval().ticks(self.timescale),
        }
    }

    /// The length of a part, or of its last picture, that should take no time.
    fn sliver_ticks(&self) -> i64 {
        MediaTime::from_millis(1).to_ticks(self.timescale)
    }

    const fn reference_lane(&self) -> &Lane {
        match self.reference {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    const fn reference_lane_mut(&mut self) -> &mut Lane {
        match self.reference {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }
}

/// The greatest number of ticks that is not longer than `length`.
fn floor_ticks(length: Duration, timescale: u32) -> i64 {
    let ticks = length.as_micros() * u128::from(timescale) / 1_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX).max(1)
}
