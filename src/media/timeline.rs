use std::collections::VecDeque;
use std::time::Duration;

use super::TrackKind;
use super::lane::{Held, Lane, Settled};
use crate::base::{MediaTime, MonoTime};

/// A step larger than this, either way, is no step but a jump. Also how far apart two tracks may
/// be and still count as one clock.
const JUMP: MediaTime = MediaTime::from_millis(2_000);
/// Two tracks jumped alike when their jumps differ by less.
const AGREEMENT: MediaTime = MediaTime::from_millis(1_000);
/// How long frames are held while it is open whether their times are a jump or an accident.
const JUDGING_MAX: Duration = Duration::from_secs(1);
const HELD_FRAMES_MAX: usize = 1_000;

/// Turns the stamps of a publisher's tracks into decode times.
///
/// Every track has its own base, so tracks that start at different values are together all the
/// same; tracks within two seconds of each other share one base, so their offset is kept to the
/// millisecond. Within a track times rise strictly. A jump of more than two seconds is judged:
/// a single odd frame is put where its neighbours say, a lasting jump continues just after the
/// last frame, and both tracks by the same amount where both jumped.
///
/// ```text
///            in range                    back in range: the held were odd
///   Steady ───────────▶ put out     Judging ───────────────────────────────▶ Steady
///      │ out of range                  │ both tracks agree, or nobody is left to ask, or 1 s
///      └──────────────▶ Judging        └──────────▶ moved base, a break ───▶ Steady
/// ```
#[derive(Debug)]
pub(super) struct Timeline<T> {
    video: Lane<T>,
    audio: Lane<T>,
    /// Bytes that may be held while judging.
    held_bytes_max: usize,
    out: VecDeque<Timed<T>>,
    findings: Vec<Finding>,
    break_next: bool,
}

/// When a frame was stamped, and what is known of its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Milliseconds, wrapping.
    pub(super) timestamp: u32,
    /// Beyond the milliseconds.
    pub(super) nanos: u32,
    pub(super) pace: Pace,
}

/// What is known of a frame's length without its stamp.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// The time to the next video frame, where the bitstream states it.
    Video(Option<MediaTime>),
    Audio {
        samples: u32,
        rate: u32,
    },
}

/// A frame with its place in time.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) track: TrackKind,
    pub(super) dts: MediaTime,
    /// Where the sender meant the frame: `dts` unless that had to give way.
    pub(super) meant: MediaTime,
    /// The first frame after a jump.
    pub(super) after_break: bool,
    pub(super) item: T,
}

/// What the timeline noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Frames whose time made no sense and was replaced.
    OddFrames { track: TrackKind, count: usize },
    /// A lasting jump, by this much.
    Jump { track: TrackKind, by: MediaTime },
    /// Stamps that stand still; times are made from the frame rate.
    NoTimestamps { track: TrackKind },
}

impl<T> Timeline<T> {
    pub(super) fn new(held_bytes_max: usize) -> Self {
        Self {
            video: Lane::default(),
            audio: Lane::default(),
            held_bytes_max,
            out: VecDeque::new(),
            findings: Vec::new(),
            break_next: false,
        }
    }

    /// Takes a frame of `bytes`. What it leads to comes out of [`Self::next`].
    pub(super) fn push(
        &mut self,
        track: TrackKind,
        stamp: Stamp,
        bytes: usize,
        item: T,
        now: MonoTime,
    ) {
        let head = self.head();
        let other = self.lane(track.other()).offset();
        let lane = self.lane_mut(track);
        let raw = lane.read(stamp, now);
        let held = Held { raw, pace: stamp.pace, bytes, item };
        if let Some(offset) = lane.offset_for(raw, other, head) {
            let odd = lane.release_odd_before(raw + offset);
            let settled = lane.settle(held, offset);
            self.put_odd(track, odd);
            self.put(track, settled);
        } else {
            let odd = lane.hold(held, now);
            self.put_odd(track, odd);
            self.judge(now);
        }
    }

    /// Time passes: what was held too long is decided.
    pub(super) fn handle_tick(&mut self, now: MonoTime) {
        self.judge(now);
    }

    pub(super) fn next(&mut self) -> Option<Timed<T>> {
        self.out.pop_front()
    }

    pub(super) fn next_finding(&mut self) -> Option<Finding> {
        self.findings.pop()
    }

    fn lane(&self, track: TrackKind) -> &Lane<T> {
        match track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    fn lane_mut(&mut self, track: TrackKind) -> &mut Lane<T> {
        match track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    /// The newest time put out.
    fn head(&self) -> Option<MediaTime> {
        self.video.last().max(self.audio.last())
    }

    /// The track whose jumps are breaks.
    fn reference(&self) -> TrackKind {
        if self.video.offset().is_some() { TrackKind::Video } else { TrackKind::Audio }
    }

    /// Decides about held frames as soon as it can be decided.
    fn judge(&mut self, now: MonoTime) {
        if let (Some(video), Some(audio)) = (self.video.held_jump(), self.audio.held_jump())
            && (distance(video, audio) < AGREEMENT || self.is_one_clock())
        {
            // The smaller jump: then neither track lands before its own last frame, and what
            // lies between the tracks stays as it was.
            let by = video.min(audio);
            self.jump(TrackKind::Video, by);
            self.jump(TrackKind::Audio, by);
            return;
        }
        for track in [TrackKind::Video, TrackKind::Audio] {
            let lane = self.lane(track);
            let Some(by) = lane.held_jump() else { continue };
            let alone = !self.lane(track.other()).is_alive(now);
            let over = lane.held_for(now) >= JUDGING_MAX
                || lane.held_len() >= HELD_FRAMES_MAX
                || lane.held_bytes() > self.held_bytes_max;
            if (alone || over) && lane.held_len() > 1 {
                self.jump(track, by);
            } else if over {
                let odd = self.lane_mut(track).release_odd();
                self.put_odd(track, odd);
            }
        }
    }

    /// Whether the held frames of both tracks are stamped by the clock that the tracks shared: then
    /// they jumped together, though one of them has missed more.
    fn is_one_clock(&self) -> bool {
        let (video, audio) = (self.video.held_newest(), self.audio.held_newest());
        let near = video.zip(audio).is_some_and(|(video, audio)| is_step(video, audio));
        near && self.video.offset() == self.audio.offset()
    }

    /// Moves a track's base so that it goes on where it was.
    fn jump(&mut self, track: TrackKind, by: MediaTime) {
        self.findings.push(Finding::Jump { track, by });
        if track == self.reference() {
            self.break_next = true;
        }
        for settled in self.lane_mut(track).move_base(by) {
            self.put(track, settled);
        }
    }

    fn put_odd(&mut self, track: TrackKind, odd: Vec<Settled<T>>) {
        if odd.is_empty() {
            return;
        }
        self.findings.push(Finding::OddFrames { track, count: odd.len() });
        for settled in odd {
            self.put(track, settled);
        }
    }

    fn put(&mut self, track: TrackKind, settled: Settled<T>) {
        let Settled { dts, meant, stands_still, item } = settled;
        if stands_still {
            self.findings.push(Finding::NoTimestamps { track });
        }
        let after_break = self.break_next && track == self.reference();
        self.break_next &= !after_break;
        self.out.push_back(Timed { track, dts, meant, after_break, item });
    }
}

/// Whether a time lies between two others, with the width of a jump on both sides.
pub(super) fn is_near(time: MediaTime, low: MediaTime, high: MediaTime) -> bool {
    low - JUMP <= time && time <= high + JUMP
}

/// Whether two stamps of one track can follow each other.
pub(super) fn is_step(from: MediaTime, to: MediaTime) -> bool {
    distance(from, to) <= JUMP
}

fn distance(a: MediaTime, b: MediaTime) -> MediaTime {
    if a > b { a - b } else { b - a }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
