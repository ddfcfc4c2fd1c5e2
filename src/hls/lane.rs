use std::sync::Arc;

use crate::media::fmp4::{Sample, TrackRun};
use crate::media::{Frame, TrackKind};

/// One track's way into parts: the frames of the open part, and the decode time up to which
/// earlier parts have promised the track.
///
/// The last frame of a part is published before the next frame has come, with the length we
/// expect. What was promised stays: the next part's first sample starts there, wherever its frame
/// really lies, and ends where the frame after it lies. So `tfdt` is always the sum of all
/// durations before it (H52), and no error outlives one frame (H58).
#[derive(Debug)]
pub(super) struct Lane {
    track: TrackKind,
    promised: Option<i64>,
    pending: Vec<Pending>,
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    /// Decode time, in ticks.
    at: i64,
    /// Presentation minus decode time, in ticks.
    composition: i64,
    frame: Arc<Frame>,
}

impl Lane {
    pub(super) const fn new(track: TrackKind) -> Self {
        Self { track, promised: None, pending: Vec::new(), bytes: 0 }
    }

    /// Adds a frame with decode time `at` and presentation time `shown`, in ticks.
    pub(super) fn push(&mut self, frame: &Arc<Frame>, at: i64, shown: i64) {
        self.bytes += frame.payload.len();
        self.pending.push(Pending {
            at,
            composition: shown.saturating_sub(at).max(0),
            frame: Arc::clone(frame),
        });
    }

    /// Ends the open part at `end`, and answers its samples and the end in truth: at least a tick
    /// after the last sample's start. Nothing when there are no samples. Where the promise and
    /// the first frame are at most `tolerance` apart, that frame keeps its presentation time;
    /// otherwise frames were lost, and it is shown early rather than leaving a hole. The frames
    /// stay until [`Self::drain`].
    pub(super) fn close(&mut self, end: i64, tolerance: i64) -> Option<(TrackRun<'_>, i64)> {
        let first = self.pending.first()?.at;
        let base = self.promised.unwrap_or(first).max(0);
        let starts = starts(base, &self.pending);
        let last = starts.last().copied()?;
        let end = end.max(last.saturating_add(1));
        let ends = starts.iter().skip(1).copied().chain([end]);
        let samples = self.pending.iter().zip(starts.iter().copied().zip(ends));
        let samples = samples.map(|(pending, (start, end))| {
            let late = pending.at.saturating_sub(start);
            let kept = if late.abs() <= tolerance { late } else { 0 };
            Sample {
                duration: u32::try_from(end - start).unwrap_or(u32::MAX),
                composition: i32::try_from(pending.composition.saturating_add(kept).max(0))
                    .unwrap_or(i32::MAX),
                sync: pending.frame.keyframe,
                payload: &pending.frame.payload,
            }
        });
        let base = u64::try_from(base).unwrap_or(0);
        let run = TrackRun { track: self.track, base, samples: samples.collect() };
        self.promised = Some(end);
        Some((run, end))
    }

    /// Up to `end`, in ticks, media is listed as missing: the next sample does not span it.
    pub(super) fn skip_to(&mut self, end: i64) {
        self.promised = self.promised.map(|promised| promised.max(end));
    }

    /// The frames of a part that was written leave, in the order of its samples.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Frame>> + '_ {
        self.bytes = 0;
        self.pending.drain(..).map(|pending| pending.frame)
    }

    /// Decode time of the newest frame of the open part.
    pub(super) fn newest(&self) -> Option<i64> {
        self.pending.last().map(|pending| pending.at)
    }

    /// Decode time of the newest frame, or the end of what was promised.
    pub(super) fn reached(&self) -> Option<i64> {
        self.newest().or(self.promised)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Frames in the open part.
    pub(super) const fn len(&self) -> usize {
        self.pending.len()
    }

    /// Payload bytes in the open part.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Where the samples start: the first at `base`, the others where their frames lie, but each at
/// least a tick after the one before (H55).
fn starts(base: i64, pending: &[Pending]) -> Vec<i64> {
    let mut earliest = base;
    let mut starts = Vec::with_capacity(pending.len());
    for (index, frame) in pending.iter().enumerate() {
        let start = if index == 0 { base } else { frame.at.max(earliest) };
        starts.push(start);
        earliest = start.saturating_add(1);
    }
    starts
}
