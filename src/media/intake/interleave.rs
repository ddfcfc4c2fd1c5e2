use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{MediaTime, MonoTime};
use crate::media::TrackKind;

/// The longest a frame waits for the other track, in media time and in ours.
const WAIT_MAX: MediaTime = MediaTime::from_millis(100);
const WAIT_MONO_MAX: Duration = Duration::from_millis(100);
/// A track this far behind has stopped, and nobody waits for it.
const STALLED: MediaTime = MediaTime::from_millis(1_000);

/// Puts the frames of both tracks in the order of their times. A frame leaves at once when the
/// other track cannot bring an earlier one, and after 100 ms in any case. The order is true to
/// one frame's length: the other track is expected to keep its pace.
#[derive(Debug)]
pub(super) struct Interleave<T> {
    video: Side<T>,
    audio: Side<T>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Side<T> {
    queue: VecDeque<Queued<T>>,
    last: Option<MediaTime>,
    /// Before this time no frame is expected any more.
    frontier: Option<MediaTime>,
}

#[derive(Debug)]
struct Queued<T> {
    dts: MediaTime,
    bytes: usize,
    arrived: MonoTime,
    item: T,
}

impl<T> Default for Side<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), last: None, frontier: None }
    }
}

impl<T> Interleave<T> {
    /// Above `bytes_max` nothing waits.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { video: Side::default(), audio: Side::default(), bytes: 0, bytes_max }
    }

    pub(super) fn push(
        &mut self,
        track: TrackKind,
        dts: MediaTime,
        bytes: usize,
        item: T,
        arrived: MonoTime,
    ) {
        let side = self.side_mut(track);
        let step = side.last.map_or(MediaTime::ZERO, |last| (dts - last).min(WAIT_MAX));
        side.last = Some(dts);
        side.frontier = Some(dts + step);
        side.queue.push_back(Queued { dts, bytes, arrived, item });
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The next frame in order, unless it still has to wait.
    pub(super) fn pop(&mut self, now: MonoTime) -> Option<(TrackKind, MediaTime, T)> {
        let track = match (self.video.queue.front(), self.audio.queue.front()) {
            (Some(video), Some(audio)) if audio.dts < video.dts => TrackKind::Audio,
            (Some(_), _) => TrackKind::Video,
            (None, Some(_)) => TrackKind::Audio,
            (None, None) => return None,
        };
        if !self.may_leave(track, now) {
            return None;
        }
        let first = self.side_mut(track).queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(first.bytes);
        Some((track, first.dts, first.item))
    }

    /// The frame of a track that leaves next.
    pub(super) fn peek(&self, track: TrackKind) -> Option<&T> {
        self.side(track).queue.front().map(|queued| &queued.item)
    }

    fn may_leave(&self, track: TrackKind, now: MonoTime) -> bool {
        let (own, other) = (self.side(track), self.side(track.other()));
        let (Some(first), Some(newest)) = (own.queue.front(), own.last) else { return false };
        let Some(frontier) = other.frontier else { return true };
        !other.queue.is_empty()
            || frontier >= first.dts
            || newest - first.dts >= WAIT_MAX
            || first.dts - frontier >= STALLED
            || now.since(first.arrived) >= WAIT_MONO_MAX
            || self.bytes > self.bytes_max
    }

    fn side(&self, track: TrackKind) -> &Side<T> {
        match track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    fn side_mut(&mut self, track: TrackKind) -> &mut Side<T> {
        match track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `v40 a20 …` (track and time in ms) at one moment; `.` stands for what left so far.
    fn check(script: &str, expected: &str) {
        let mut interleave = Interleave::new(1_000);
        let mut left = Vec::new();
        for word in script.split_whitespace() {
            let millis: i64 = word[1..].parse().unwrap();
            let track = if word.starts_with('v') { TrackKind::Video } else { TrackKind::Audio };
            let dts = MediaTime::from_millis(millis);
            interleave.push(track, dts, 1, word.to_owned(), MonoTime::ZERO);
            let ready: Vec<_> = std::iter::from_fn(|| interleave.pop(MonoTime::ZERO)).collect();
            left.extend(ready.into_iter().map(|(_, _, word)| word));
            left.push(".".to_owned());
        }
        left.pop();
        assert_eq!(left.join(" "), expected, "{script}");
    }

    #[test]
    fn frames_leave_in_order_and_as_soon_as_they_can() {
        // Well interleaved: once the pace is known nobody waits, the other track is due later.
        check("v0 a0 a20 v33 a40 a60 v66", "v0 . a0 . . a20 v33 . a40 . a60 . v66");
        // Audio behind: video waits for it.
        check("v0 a0 a20 v80 a40 a60 a80", "v0 . a0 . . a20 . a40 . a60 v80 . a80");
        check("v0 v33 v66", "v0 . v33 . v66");
    }

    #[test]
    fn nobody_waits_longer_than_100_ms_or_for_a_stalled_track() {
        check("v0 a0 v90 v150 v190 v260", "v0 . a0 . . . v90 . v150");
        check("a0 v0 v1000 v1033", "a0 . v0 . v1000 . v1033");

        let mut interleave = Interleave::new(1_000);
        let dts = MediaTime::from_millis;
        interleave.push(TrackKind::Audio, dts(0), 1, (), MonoTime::ZERO);
        interleave.push(TrackKind::Video, dts(50), 1, (), MonoTime::ZERO);
        assert!(interleave.pop(MonoTime::ZERO).is_some());
        assert!(interleave.pop(MonoTime::ZERO + Duration::from_millis(99)).is_none());
        assert!(interleave.pop(MonoTime::ZERO + Duration::from_millis(100)).is_some());
    }

    #[test]
    fn too_many_bytes_do_not_wait() {
        let mut interleave = Interleave::new(1_000);
        let dts = MediaTime::from_millis;
        interleave.push(TrackKind::Audio, dts(0), 1, (), MonoTime::ZERO);
        interleave.push(TrackKind::Video, dts(50), 1_001, (), MonoTime::ZERO);
        assert!(interleave.pop(MonoTime::ZERO).is_some());
        assert!(interleave.pop(MonoTime::ZERO).is_some());
    }
}
