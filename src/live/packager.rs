use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::advice::Pulse;
use super::metrics::Metrics;
use super::rendition::Rendition;
use crate::base::{Clock, MediaTime, Now};
use crate::hls::{Closing, Cut, Segmenter};
use crate::hub::{Batch, EndReason, Subscription};
use crate::media::Frame;

/// Reads one broadcast from the hub and keeps its rendition: frames are cut, the window slides,
/// one version is published for each batch that completed a part.
#[derive(Debug)]
pub(super) struct Packager {
    pub(super) subscription: Subscription,
    pub(super) segmenter: Segmenter,
    pub(super) rendition: Arc<Rendition>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) closing: watch::Receiver<Option<Closing>>,
    pub(super) metrics: Metrics,
    /// How often missing media is listed while the publisher is away.
    pub(super) part_target: Duration,
    /// The keyframe interval that a broadcaster is advised to set.
    pub(super) segment_target: Duration,
    pub(super) scratch: Scratch,
}

/// Buffers and notes that live from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    frames: Vec<Arc<Frame>>,
    cuts: Vec<Cut>,
    pulse: Pulse,
    away: bool,
}

impl Packager {
    /// Runs until the broadcast ends, or `stop` ends it here. Whatever happens, the playlist ends
    /// with its end tag.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let reason = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break EndReason::Draining,
                batch = self.subscription.next_batch(&mut self.scratch.frames) => {
                    if let Some(reason) = self.handle(batch) {
                        break reason;
                    }
                }
                () = tokio::time::sleep(self.part_target), if self.scratch.away => {
                    self.fill_gap(self.clock.now());
                }
            }
        };
        self.finish(reason);
    }

    fn handle(&mut self, batch: Batch) -> Option<EndReason> {
        let now = self.clock.now();
        match batch {
            Batch::Frames => self.handle_frames(now),
            Batch::Lagged { missed } => {
                warn!(missed, "the packager fell behind; the playlist gets a gap");
                self.metrics.missed_frames.inc_by(missed);
                // Closes what is open: the next frame starts behind a discontinuity.
                self.segmenter.fill_gap(MediaTime::ZERO, &mut self.scratch.cuts);
                self.flush(now);
            }
            Batch::Away { since } => {
                info!(for_ms = now.mono.since(since).as_millis(), "the publisher is away");
                self.set_away(true);
                self.fill_gap(now);
            }
            Batch::Back => self.set_away(false),
            Batch::Ended(reason) => return Some(reason),
        }
        None
    }

    fn handle_frames(&mut self, now: Now) {
        // Nothing but a publisher that is back writes frames after it was away.
        self.set_away(false);
        let Scratch { frames, cuts, pulse, .. } = &mut self.scratch;
        for frame in frames.drain(..) {
            pulse.observe(&frame);
            self.segmenter.push(&frame, cuts);
            drop(frame);
            let stored = self.segmenter.stored();
            if !stored.is_empty() {
                self.subscription.broadcast().share(stored);
            }
        }
        self.subscription.rest_until(self.segmenter.due());
        self.flush(now);
    }

    /// Lists missing media up to now.
    fn fill_gap(&mut self, now: Now) {
        let elapsed = now.mono.since(self.rendition.started_at().mono);
        self.segmenter.fill_gap(MediaTime::from(elapsed), &mut self.scratch.cuts);
        self.flush(now);
    }

    /// Applies and publishes what was cut; ends the broadcast when it cannot be kept (R25).
    fn flush(&mut self, now: Now) {
        if self.scratch.cuts.is_empty() {
            return;
        }
        let fits = self.rendition.apply(&mut self.scratch.cuts, now.mono);
        let pulse = &self.scratch.pulse;
        self.rendition.note(pulse.advice(self.segment_target), pulse.rate_millis());
        self.rendition.publish(*self.closing.borrow());
        if !fits {
            warn!("the shortest playlist holds more bytes than a window may");
            self.subscription.broadcast().end(EndReason::Faulted("window_bytes_max"));
        }
    }

    fn finish(mut self, reason: EndReason) {
        let now = self.clock.now();
        self.segmenter.finish(&mut self.scratch.cuts);
        let _fits = self.rendition.apply(&mut self.scratch.cuts, now.mono);
        self.rendition.end(reason, now, *self.closing.borrow());
        debug!(reason = reason.as_str(), "the playlist is final");
    }

    fn set_away(&mut self, away: bool) {
        if self.scratch.away != away {
            self.scratch.away = away;
            self.rendition.set_away(away);
        }
    }
}
