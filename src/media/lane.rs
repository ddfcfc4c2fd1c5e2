use std::collections::VecDeque;
use std::time::Duration;

use super::grid::Grid;
use super::timeline::{Pace, Stamp, is_near, is_step};
use super::unwrap::Unwrap;
use crate::base::{MediaTime, MonoTime};

/// A track without frames for this long is not asked about a jump of the other.
const ALIVE: Duration = Duration::from_secs(1);
/// The least distance of two frames, where stamps stand still or run back.
const STEP_MIN: MediaTime = MediaTime::from_millis(1);
/// Time to the next video frame where nothing tells.
const STEP_DEFAULT: MediaTime = MediaTime::from_micros(33_333);
/// A longer distance of two frames says nothing of the frame rate.
const STEP_MAX: MediaTime = MediaTime::from_millis(1_000);
/// So many equal stamps in a row, and they are no accident. Audio comes in bursts of equal
/// stamps from some senders.
const EQUAL_VIDEO_MAX: u32 = 2;
const EQUAL_AUDIO_MAX: u32 = 8;

/// One track of a [`Timeline`](super::timeline::Timeline).
#[derive(Debug)]
pub(super) struct Lane<T> {
    unwrap: Unwrap,
    /// The latest stamp, unwrapped, and how often it came in a row before.
    raw: Option<MediaTime>,
    equal: u32,
    /// When the latest frame arrived.
    seen: Option<MonoTime>,
    /// From stamps to times; none before the first frame.
    offset: Option<MediaTime>,
    /// The time given last.
    last: Option<MediaTime>,
    /// The distance of frames, as far as it is known.
    step: MediaTime,
    grid: Option<Grid>,
    held: VecDeque<Held<T>>,
    held_bytes: usize,
    held_since: MonoTime,
}

/// A frame that waits for a verdict on its time.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) raw: MediaTime,
    pub(super) pace: Pace,
    pub(super) bytes: usize,
    pub(super) item: T,
}

/// A frame that has its time.
#[derive(Debug)]
pub(super) struct Settled<T> {
    pub(super) dts: MediaTime,
    pub(super) meant: MediaTime,
    /// The time was made up because stamps do not move.
    pub(super) stands_still: bool,
    pub(super) item: T,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            unwrap: Unwrap::default(),
            raw: None,
            equal: 0,
            seen: None,
            offset: None,
            last: None,
            step: STEP_DEFAULT,
            grid: None,
            held: VecDeque::new(),
            held_bytes: 0,
            held_since: MonoTime::ZERO,
        }
    }
}

impl<T> Lane<T> {
    /// Reads a stamp, in arrival order.
    pub(super) fn read(&mut self, stamp: Stamp, now: MonoTime) -> MediaTime {
        let micros = MediaTime::from_micros(i64::from(stamp.nanos / 1_000));
        let raw = self.unwrap.next(stamp.timestamp) + micros;
        self.equal = if self.raw == Some(raw) { self.equal.saturating_add(1) } else { 0 };
        self.raw = Some(raw);
        self.seen = Some(now);
        match stamp.pace {
            Pace::Video(Some(step)) if self.last.is_none() => self.step = step.max(STEP_MIN),
            Pace::Video(_) => {}
            Pace::Audio { samples, rate } => {
                self.step = MediaTime::from_ticks(samples.into(), rate).max(STEP_MIN);
            }
        }
        raw
    }

    /// The offset under which a stamp makes sense, if there is one. `other` is the other track's
    /// offset, `head` the newest time of both.
    pub(super) fn offset_for(
        &self,
        raw: MediaTime,
        other: Option<MediaTime>,
        head: Option<MediaTime>,
    ) -> Option<MediaTime> {
        let Some(head) = head else { return Some(MediaTime::ZERO - raw) };
        let last = self.last.unwrap_or(head);
        let own = self.offset.filter(|&own| is_near(raw + own, last, head));
        let shared =
            || other.filter(|&shared| is_near(raw + shared, head, head) && raw + shared > last);
        match (own, self.offset) {
            (Some(own), _) => Some(own),
            (None, Some(_)) => shared(),
            (None, None) => Some(
                other.filter(|&shared| is_near(raw + shared, head, head)).unwrap_or(head - raw),
            ),
        }
    }

    /// Gives a frame its time.
    pub(super) fn settle(&mut self, frame: Held<T>, offset: MediaTime) -> Settled<T> {
        self.offset = Some(offset);
        let meant = frame.raw + offset;
        match frame.pace {
            Pace::Video(_) => self.settle_video(frame, meant),
            Pace::Audio { samples, rate } => self.settle_audio(frame.item, meant, samples, rate),
        }
    }

    fn settle_video(&mut self, frame: Held<T>, meant: MediaTime) -> Settled<T> {
        let Some(last) = self.last else {
            self.last = Some(meant);
            return Settled { dts: meant, meant, stands_still: false, item: frame.item };
        };
        if self.equal >= EQUAL_VIDEO_MAX {
            let dts = last + self.step;
            self.offset = Some(dts - frame.raw);
            self.last = Some(dts);
            return Settled { dts, meant: dts, stands_still: true, item: frame.item };
        }
        let half_step = MediaTime::from_micros(self.step.as_micros() / 2).max(STEP_MIN);
        let dts = match meant > last {
            true => meant,
            false if meant == last => last + half_step,
            false => last + STEP_MIN,
        };
        if dts == meant && dts - last <= STEP_MAX {
            self.step = (dts - last).max(STEP_MIN);
        }
        self.last = Some(dts);
        Settled { dts, meant, stands_still: false, item: frame.item }
    }

    fn settle_audio(&mut self, item: T, meant: MediaTime, samples: u32, rate: u32) -> Settled<T> {
        let start = self.last.map_or(meant, |last| meant.max(last + STEP_MIN));
        let grid = match &mut self.grid {
            Some(grid) if grid.rate() == rate => grid,
            other => other.insert(Grid::starting_at(start, rate)),
        };
        let stands_still = self.equal >= EQUAL_AUDIO_MAX;
        if stands_still && let Some(raw) = self.raw {
            self.offset = Some(grid.next() - raw);
        }
        let dts = if self.equal > 0 { grid.follow(samples) } else { grid.place(meant, samples) };
        let dts = self.last.map_or(dts, |last| dts.max(last + STEP_MIN));
        self.last = Some(dts);
        Settled { dts, meant: dts, stands_still, item }
    }

    /// Holds a frame back. Those held before it that it does not follow are odd, and are let go.
    pub(super) fn hold(&mut self, frame: Held<T>, now: MonoTime) -> Vec<Settled<T>> {
        let follows = self.held.back().is_none_or(|before| is_step(before.raw, frame.raw));
        let odd = if follows { Vec::new() } else { self.release_odd() };
        if self.held.is_empty() {
            self.held_since = now;
        }
        self.held_bytes = self.held_bytes.saturating_add(frame.bytes);
        self.held.push_back(frame);
        odd
    }

    /// Lets all held frames go as odd ones: at the pace of those before.
    pub(super) fn release_odd(&mut self) -> Vec<Settled<T>> {
        let step = self.step;
        self.release_at(step)
    }

    /// The same when the next good frame is due at `next`: they share the time up to it.
    pub(super) fn release_odd_before(&mut self, next: MediaTime) -> Vec<Settled<T>> {
        let Some(last) = self.last.filter(|_| !self.held.is_empty()) else { return Vec::new() };
        let shares = i64::try_from(self.held.len()).unwrap_or(i64::MAX).saturating_add(1);
        let share = MediaTime::from_micros((next - last).as_micros() / shares);
        self.release_at(share.min(self.step))
    }

    fn release_at(&mut self, step: MediaTime) -> Vec<Settled<T>> {
        let step = step.max(STEP_MIN);
        let held = self.take_held();
        let mut odd = Vec::with_capacity(held.len());
        for frame in held {
            let dts = self.last.map_or(MediaTime::ZERO, |last| last + step);
            self.last = Some(dts);
            if let Pace::Audio { samples, rate } = frame.pace {
                let mut grid = Grid::starting_at(dts, rate);
                grid.follow(samples);
                self.grid = Some(grid);
            }
            odd.push(Settled { dts, meant: dts, stands_still: false, item: frame.item });
        }
        odd
    }

    /// Takes a jump for true: the base moves by it, and what was held is let go.
    pub(super) fn move_base(&mut self, by: MediaTime) -> Vec<Settled<T>> {
        let Some(offset) = self.offset else { return Vec::new() };
        let offset = offset - by;
        self.offset = Some(offset);
        let held = self.take_held();
        held.into_iter().map(|frame| self.settle(frame, offset)).collect()
    }

    fn take_held(&mut self) -> VecDeque<Held<T>> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    pub(super) fn offset(&self) -> Option<MediaTime> {
        self.offset
    }

    pub(super) fn last(&self) -> Option<MediaTime> {
        self.last
    }

    pub(super) fn is_alive(&self, now: MonoTime) -> bool {
        self.seen.is_some_and(|seen| now.since(seen) <= ALIVE)
    }

    /// How far the held frames lie from where the track would go on; none when none is held.
    pub(super) fn held_jump(&self) -> Option<MediaTime> {
        let first = self.held.front()?;
        Some(first.raw + self.offset? - (self.last? + self.step))
    }

    /// The stamp of the newest held frame.
    pub(super) fn held_newest(&self) -> Option<MediaTime> {
        self.held.back().map(|frame| frame.raw)
    }

    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn held_for(&self, now: MonoTime) -> Duration {
        now.since(self.held_since)
    }
}
