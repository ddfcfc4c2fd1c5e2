use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::MonoTime;
use crate::media::{Frame, Stored};

/// How long media stays in the ring beside the newest GOP, from its arrival on: enough for a reader
/// that was held up by the scheduler, too little to matter beside the window. What comes in one
/// burst, after the network or this process stood still, is read before it leaves.
const KEPT_SPAN: Duration = Duration::from_secs(2);

/// The newest frames of a broadcast. Old GOPs leave whole; the newest GOP stays, so a new reader
/// can start at a keyframe, unless it alone is above the limit: then its head goes, and a new
/// reader waits for the next keyframe. Readers hold a place, not a queue.
#[derive(Debug)]
pub(super) struct FrameRing {
    frames: VecDeque<Arc<Frame>>,
    /// Sequence number of `frames[0]`.
    first: u64,
    /// Oldest first.
    gops: VecDeque<Gop>,
    bytes: usize,
    bytes_max: usize,
}

/// Where a GOP starts.
#[derive(Clone, Copy, Debug)]
struct Gop {
    /// The sequence number of its keyframe.
    at: u64,
    came: MonoTime,
}

/// The reader's place has left the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Frames the reader will never see.
    pub(super) missed: u64,
    /// Where to go on: the start of the newest GOP.
    pub(super) resume: u64,
}

impl FrameRing {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { frames: VecDeque::new(), first: 0, gops: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// The place after the newest frame.
    pub(super) fn head(&self) -> u64 {
        self.first + u64::try_from(self.frames.len()).expect("a length fits in 64 bits")
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a new reader starts: the newest GOP, or the head of an empty ring.
    pub(super) fn newest_gop(&self) -> u64 {
        self.gops.back().map_or_else(|| self.head(), |gop| gop.at)
    }

    pub(super) fn push(&mut self, frame: Arc<Frame>, now: MonoTime) {
        if frame.keyframe && !frame.is_beside_video() {
            self.gops.push_back(Gop { at: self.head(), came: now });
        }
        self.bytes += frame.payload.len();
        self.frames.push_back(frame);
        while self.oldest_gop_may_go(now) {
            self.drop_oldest_gop();
        }
        while self.bytes > self.bytes_max && self.frames.len() > 1 {
            self.drop_oldest_frame();
        }
    }

    /// Shares the copies of these payloads, and lets the own ones go. They count as before: what
    /// is shared lasts at least as long as it is here. A frame that somebody else holds stays as
    /// it is.
    pub(super) fn share(&mut self, stored: &[Stored]) {
        for stored in stored {
            // What is stored is new, so the search from the newest is short.
            let frame = self.frames.iter_mut().rev().find(|frame| stored.is_of(frame));
            if let Some(frame) = frame.and_then(Arc::get_mut) {
                frame.payload = stored.payload.clone();
            }
        }
    }

    /// Appends everything from `place` on and answers the new place.
    pub(super) fn read(&self, place: u64, out: &mut Vec<Arc<Frame>>) -> Result<u64, Behind> {
        let Some(skip) = place.checked_sub(self.first) else {
            let resume = self.newest_gop();
            return Err(Behind { missed: resume - place, resume });
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        out.extend(self.frames.iter().skip(skip).cloned());
        Ok(self.head())
    }

    fn oldest_gop_may_go(&self, now: MonoTime) -> bool {
        let Some(second) = self.gops.get(1) else { return false };
        self.bytes > self.bytes_max || now.since(second.came) >= KEPT_SPAN
    }

    /// Drops all before the second GOP: the oldest one and whatever came before its keyframe.
    fn drop_oldest_gop(&mut self) {
        let Some(&Gop { at: keep, .. }) = self.gops.get(1) else { return };
        while self.first < keep {
            self.drop_oldest_frame();
        }
    }

    /// Drops one frame. A GOP that lost its keyframe is no place to start any more.
    fn drop_oldest_frame(&mut self) {
        if let Some(gone) = self.frames.pop_front() {
            self.bytes -= gone.payload.len();
        }
        self.first += 1;
        while self.gops.front().is_some_and(|gop| gop.at < self.first) {
            self.gops.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MediaTime;
    use crate::media::{Format, TrackKind, VideoCodec, VideoConfig};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn format() -> Arc<Format> {
        let video = VideoConfig {
            codec: VideoCodec::Avc,
            record: Bytes::new(),
            codec_string: "avc1.42c01e".into(),
            width: 640,
            height: 360,
            frame_rate: None,
        };
        Arc::new(Format { video: Some(video), audio: None })
    }

    fn frame(millis: i64, keyframe: bool, bytes: usize) -> Arc<Frame> {
        let at = MediaTime::from_millis(millis);
        Arc::new(Frame {
            track: TrackKind::Video,
            dts: at,
            pts: at,
            keyframe,
            run: 0,
            format: format(),
            payload: Bytes::from(vec![0; bytes]),
        })
    }

    /// It comes when its time is.
    fn push(ring: &mut FrameRing, frame: Arc<Frame>) {
        let now = MonoTime::from_start(frame.dts.to_duration());
        ring.push(frame, now);
    }

    /// F5: twelve seconds that waited in a socket come at once, and no reader can have read the
    /// first of them before the last is there.
    #[test]
    fn a_burst_stays_until_it_was_read() {
        let mut ring = FrameRing::new(100_000);
        let came = MonoTime::from_start(Duration::from_secs(12));
        for n in 0..12 {
            ring.push(frame(n * 1_000, true, 100), came);
        }
        let mut out = Vec::new();
        assert_eq!(ring.read(0, &mut out), Ok(12));
        ring.push(frame(12_000, true, 100), came + KEPT_SPAN);
        assert_eq!(ring.bytes(), 200, "and no longer");
    }

    #[test]
    fn the_newest_gop_stays_and_older_ones_leave_whole() {
        let mut ring = FrameRing::new(200);
        push(&mut ring, frame(0, true, 80));
        push(&mut ring, frame(33, false, 80));
        assert_eq!((ring.newest_gop(), ring.bytes()), (0, 160));
        push(&mut ring, frame(66, true, 80));
        assert_eq!((ring.newest_gop(), ring.bytes()), (2, 80), "the oldest GOP left whole");
    }

    /// R25: a camera that froze while its sound goes on fills no memory.
    #[test]
    fn a_gop_without_end_loses_its_head() {
        let mut ring = FrameRing::new(100);
        push(&mut ring, frame(0, true, 10));
        for n in 1..1_000 {
            push(&mut ring, frame(n * 20, false, 10));
            assert!(ring.bytes() <= 100);
        }
        assert_eq!(ring.newest_gop(), ring.head(), "nothing to start at until a keyframe");
        push(&mut ring, frame(30_000, true, 10));
        assert_eq!(ring.newest_gop(), ring.head() - 1);
    }

    fn stored(millis: i64, payload: Bytes) -> Stored {
        let dts = MediaTime::from_millis(millis);
        Stored { track: TrackKind::Video, run: 0, dts, payload }
    }

    #[test]
    fn a_shared_payload_is_not_held_twice() {
        let mut ring = FrameRing::new(1_000);
        let held = frame(66, false, 30);
        push(&mut ring, frame(0, true, 80));
        push(&mut ring, frame(33, false, 20));
        push(&mut ring, held.clone());
        let part = Bytes::from(vec![0; 130]);
        let shares = [(0, 0..80), (33, 80..100), (66, 100..130)];
        ring.share(&shares.map(|(millis, range)| stored(millis, part.slice(range))));
        // Bytes that cannot be the frame's are not taken for it.
        ring.share(&[stored(33, part.slice(..19)), stored(34, part.slice(..20))]);
        let mut out = Vec::new();
        assert_eq!(ring.read(0, &mut out), Ok(3));
        assert_eq!(out.iter().map(|frame| frame.payload.len()).collect::<Vec<_>>(), [80, 20, 30]);
        assert_eq!(out[1].payload.as_ptr(), part[80..].as_ptr());
        assert_eq!(out[2].payload.as_ptr(), held.payload.as_ptr(), "somebody else holds it");
        assert_eq!(ring.bytes(), 130);
    }

    #[test]
    fn a_reader_that_fell_off_goes_on_at_the_newest_keyframe() {
        let mut ring = FrameRing::new(10);
        for n in 0..4 {
            push(&mut ring, frame(n * 33, true, 10));
        }
        let mut out = Vec::new();
        assert_eq!(ring.read(0, &mut out), Err(Behind { missed: 3, resume: 3 }));
        assert_eq!(ring.read(3, &mut out), Ok(4));
        assert_eq!(out.len(), 1);
    }

    proptest! {
        /// Against a plain list of everything ever pushed: what a reader gets is exactly the
        /// frames from its place on, and the bytes add up.
        #[test]
        fn reads_what_was_written(steps in prop::collection::vec((any::<bool>(), 0usize..50, 0u8..4), 1..200)) {
            let mut ring = FrameRing::new(200);
            let mut all: Vec<Arc<Frame>> = Vec::new();
            let mut place = 0;
            for (n, (key, size, read)) in steps.into_iter().enumerate() {
                let frame = frame(i64::try_from(n).unwrap() * 40, key || n == 0, size);
                all.push(frame.clone());
                push(&mut ring, frame);
                if read == 0 {
                    let mut got = Vec::new();
                    place = match ring.read(place, &mut got) {
                        Ok(head) => {
                            let expected = &all[usize::try_from(place).unwrap()..];
                            prop_assert!(got.iter().zip(expected).all(|(a, b)| Arc::ptr_eq(a, b)));
                            prop_assert_eq!(got.len(), expected.len());
                            head
                        }
                        Err(behind) => {
                            let resume = all.get(usize::try_from(behind.resume).unwrap());
                            prop_assert!(resume.is_none_or(|frame| frame.keyframe));
                            prop_assert_eq!(behind.missed, behind.resume - place);
                            behind.resume
                        }
                    };
                }
                let kept: usize = ring.frames.iter().map(|frame| frame.payload.len()).sum();
                prop_assert_eq!(kept, ring.bytes());
                prop_assert_eq!(ring.head(), u64::try_from(all.len()).unwrap());
            }
        }
    }
}
