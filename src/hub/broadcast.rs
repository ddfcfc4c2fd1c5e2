use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast as news, watch};

use super::lull::Lull;
use super::registry::Event;
use super::retime::Retime;
use super::ring::FrameRing;
use crate::base::{
    Blame, BroadcastId, ChannelId, ConnId, KeyId, MediaTime, MonoTime, Mutex, MutexGuard, Now,
    Rival,
};
use crate::media::{Format, Frame, Stored};

/// How long sound may wait for a picture to wake the readers.
const SOUND_WAIT_MAX: Duration = Duration::from_millis(60);

/// Why a publication, or with it the broadcast, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The publisher said so.
    Finished,
    /// The connection broke or went stale; the broadcast waits for the publisher to come back.
    Lost,
    /// A rule of the ingest ended the publication; the encoder may come back. Carries the label
    /// of the rule.
    Faulted(&'static str),
    /// Another connection with the same key goes on with the broadcast.
    TakenOver,
    /// The key was revoked or its channel removed.
    KeyRevoked,
    /// The schedule closed publishing.
    ServiceClosed,
    /// This node is stopping.
    Draining,
}

impl EndReason {
    /// The metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Lost => "lost",
            Self::Faulted(rule) => rule,
            Self::TakenOver => "taken_over",
            Self::KeyRevoked => "key_revoked",
            Self::ServiceClosed => "service_closed",
            Self::Draining => "draining",
        }
    }

    /// Whether the same key may go on with this broadcast within the resume window: only an end
    /// that somebody meant skips it.
    fn leaves_room_to_resume(self) -> bool {
        match self {
            Self::Lost | Self::Faulted(_) => true,
            Self::Finished
            | Self::TakenOver
            | Self::KeyRevoked
            | Self::ServiceClosed
            | Self::Draining => false,
        }
    }
}

/// Who writes a broadcast.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub conn: ConnId,
    pub key: KeyId,
    /// What the owner of the key wants if another one is there.
    pub rival: Rival,
    pub peer: SocketAddr,
    /// What the encoder calls itself; untrusted.
    pub encoder: Option<String>,
}

/// Where a broadcast stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastState {
    /// A publisher is connected.
    Live,
    /// The publisher is gone since then and may come back.
    Away {
        since: MonoTime,
    },
    Ended(EndReason),
}

/// One live run of a channel.
#[derive(Debug)]
pub struct Broadcast {
    id: BroadcastId,
    channel: ChannelId,
    started: Now,
    inner: Mutex<Inner>,
    /// Rung after every change of `inner`.
    wake: Notify,
    news: news::Sender<Event>,
}

#[derive(Debug)]
struct Inner {
    ring: FrameRing,
    retime: Retime,
    state: BroadcastState,
    /// Counts changes of `state`, so that readers notice each one after the frames before it.
    state_version: u64,
    /// Counts publications; only the newest one may write.
    epoch: u64,
    publisher: Publisher,
    stop: watch::Sender<Option<EndReason>>,
    format: Option<Arc<Format>>,
    /// Decode time of the frame that last rang the bell.
    rung: MediaTime,
    readers: usize,
    /// Before a frame that is decoded then, the one reader there is wants to hear of nothing.
    due: Option<MediaTime>,
}

impl Broadcast {
    pub(super) fn new(
        id: BroadcastId,
        channel: ChannelId,
        publisher: Publisher,
        ring_bytes_max: usize,
        news: news::Sender<Event>,
        now: Now,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            channel,
            started: now,
            inner: Mutex::new(Inner {
                ring: FrameRing::new(ring_bytes_max),
                retime: Retime::default(),
                state: BroadcastState::Live,
                state_version: 0,
                epoch: 0,
                publisher,
                stop: watch::Sender::new(None),
                format: None,
                rung: MediaTime::ZERO,
                readers: 0,
                due: None,
            }),
            wake: Notify::new(),
            news,
        })
    }

    pub fn id(&self) -> BroadcastId {
        self.id
    }

    pub fn channel(&self) -> &ChannelId {
        &self.channel
    }

    /// When the first frame came: media time zero, on both clocks.
    pub fn started(&self) -> Now {
        self.started
    }

    /// Who writes, or wrote last.
    pub fn publisher(&self) -> Publisher {
        self.lock().publisher.clone()
    }

    pub fn state(&self) -> BroadcastState {
        self.lock().state
    }

    /// The format of the newest frame.
    pub fn format(&self) -> Option<Arc<Format>> {
        self.lock().format.clone()
    }

    /// Bytes of payload held in the ring.
    pub fn ring_bytes(&self) -> usize {
        self.lock().ring.bytes()
    }

    /// A reader copied these payloads into something that lasts longer than the ring: the ring
    /// shares that copy, unless another reader still holds the frame.
    pub fn share(&self, stored: &[Stored]) {
        self.lock().ring.share(stored);
    }

    /// A reader that starts at the newest keyframe.
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut inner = self.lock();
        inner.readers += 1;
        inner.due = None;
        Subscription {
            broadcast: self.clone(),
            place: inner.ring.newest_gop(),
            seen: 0,
            reported: BroadcastState::Live,
        }
    }

    /// Makes `publisher` the one writer; an earlier one is told that it was taken over. `None`: the
    /// broadcast has ended, and what has ended never goes on.
    pub(super) fn open_publication(self: &Arc<Self>, publisher: Publisher) -> Option<Publication> {
        let mut inner = self.lock();
        if matches!(inner.state, BroadcastState::Ended(_)) {
            return None;
        }
        inner.stop.send_replace(Some(EndReason::TakenOver));
        inner.stop = watch::Sender::new(None);
        inner.epoch += 1;
        inner.retime.begin_publication();
        inner.due = None;
        inner.publisher = publisher;
        inner.change_state(BroadcastState::Live);
        let publication = Publication {
            broadcast: self.clone(),
            epoch: inner.epoch,
            stopped: inner.stop.subscribe(),
            last_write: self.started.mono,
            lull: Lull::default(),
            finished: false,
            took_over: None,
        };
        drop(inner);
        self.wake.notify_waiters();
        Some(publication)
    }

    /// Ends the broadcast for good and stops its publisher.
    pub fn end(self: &Arc<Self>, reason: EndReason) {
        self.end_held(self.lock(), reason);
    }

    /// Ends it under the lock that found it so: nobody takes it over in between.
    fn end_held(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>, reason: EndReason) {
        if matches!(inner.state, BroadcastState::Ended(_)) {
            return;
        }
        inner.epoch += 1;
        inner.stop.send_replace(Some(reason));
        inner.change_state(BroadcastState::Ended(reason));
        drop(inner);
        self.wake.notify_waiters();
        // Nobody listening is no error.
        let _ = self.news.send(Event::Ended(self.clone(), reason));
    }

    /// Asks the publisher to stop; the broadcast goes on until it has.
    pub(super) fn stop_publisher(&self, reason: EndReason) {
        self.lock().stop.send_replace(Some(reason));
    }

    fn close_publication(self: &Arc<Self>, epoch: u64, reason: EndReason, at: MonoTime) {
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return;
        }
        if !reason.leaves_room_to_resume() {
            return self.end_held(inner, reason);
        }
        inner.epoch += 1;
        inner.change_state(BroadcastState::Away { since: at });
        drop(inner);
        self.wake.notify_waiters();
    }

    /// The lock is never held while foreign code runs, so a poisoned one is still consistent.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sound beside a running picture waits for the next picture: readers wake once a picture
    /// instead of two or three times, and no part is cut on sound while there is video.
    fn is_worth_a_wake(&mut self, frame: &Frame) -> bool {
        if frame.is_beside_video() && (frame.dts - self.rung).to_duration() < SOUND_WAIT_MAX {
            return false;
        }
        self.rung = frame.dts;
        true
    }

    fn due(&self) -> Option<MediaTime> {
        self.due.filter(|_| self.readers == 1)
    }

    fn change_state(&mut self, state: BroadcastState) {
        if self.state != state {
            self.state = state;
            self.state_version += 1;
        }
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the publication has been stopped: {}", .0.as_str())]
    Stopped(EndReason),
}

impl WriteError {
    pub fn blame(self) -> Blame {
        match self {
            Self::Stopped(_) => Blame::Policy,
        }
    }
}

/// The one write end of a broadcast. Dropping it without [`Publication::finish`] means the
/// publisher was lost.
#[derive(Debug)]
pub struct Publication {
    broadcast: Arc<Broadcast>,
    epoch: u64,
    stopped: watch::Receiver<Option<EndReason>>,
    last_write: MonoTime,
    lull: Lull,
    finished: bool,
    pub(super) took_over: Option<Publisher>,
}

impl Publication {
    pub fn broadcast(&self) -> &Arc<Broadcast> {
        &self.broadcast
    }

    /// Whom this publication replaced while they were live.
    pub fn took_over(&self) -> Option<&Publisher> {
        self.took_over.as_ref()
    }

    /// Hands a frame to all readers. Synchronous and never waits for one.
    pub fn write(&mut self, mut frame: Frame, now: MonoTime) -> Result<(), WriteError> {
        self.last_write = now;
        let mut inner = self.broadcast.lock();
        if inner.epoch != self.epoch {
            let reason = (*self.stopped.borrow()).unwrap_or(EndReason::TakenOver);
            return Err(WriteError::Stopped(reason));
        }
        inner.retime.place(&mut frame, now);
        if inner.format.as_ref().is_none_or(|format| !Arc::ptr_eq(format, &frame.format)) {
            inner.format = Some(frame.format.clone());
        }
        if !frame.is_beside_video() {
            self.lull.observe(frame.dts, now);
        }
        let rings = inner.is_worth_a_wake(&frame);
        inner.ring.push(Arc::new(frame), now);
        drop(inner);
        if rings {
            self.broadcast.wake.notify_waiters();
        }
        Ok(())
    }

    /// Until when no frame is expected that a reader waits for: what comes earlier may as well be
    /// written then, all at once.
    pub fn lull(&self, now: MonoTime) -> Option<MonoTime> {
        let due = self.broadcast.lock().due()?;
        self.lull.until(due, now)
    }

    /// Why somebody else ended this publication, once that has happened.
    pub fn stop_reason(&self) -> Option<EndReason> {
        *self.stopped.borrow()
    }

    /// Waits for [`Self::stop_reason`]. Cancel-safe.
    pub async fn stopped(&mut self) -> EndReason {
        let reason = self.stopped.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| *reason).unwrap_or(EndReason::TakenOver)
    }

    /// Ends the publication. An end that nobody meant leaves the broadcast waiting for a resume.
    pub fn finish(mut self, reason: EndReason, now: MonoTime) {
        self.finished = true;
        self.broadcast.close_publication(self.epoch, reason, now);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if !self.finished {
            self.broadcast.close_publication(self.epoch, EndReason::Lost, self.last_write);
        }
    }
}

/// What a reader finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Frames were appended.
    Frames,
    /// The reader was too slow: `missed` frames are gone, the next batch starts at a keyframe.
    Lagged { missed: u64 },
    /// The publisher is gone since then and may come back.
    Away { since: MonoTime },
    /// A publisher is back; frames of a new run follow.
    Back,
    /// Nothing follows.
    Ended(EndReason),
}

/// One read end of a broadcast: a place in its ring.
#[derive(Debug)]
pub struct Subscription {
    broadcast: Arc<Broadcast>,
    place: u64,
    seen: u64,
    reported: BroadcastState,
}

impl Subscription {
    pub fn broadcast(&self) -> &Arc<Broadcast> {
        &self.broadcast
    }

    /// What this reader makes of the frames is not complete before a frame of the deciding track,
    /// video where there is video, that is decoded at `due` or later; `None`: every frame counts.
    pub fn rest_until(&self, due: Option<MediaTime>) {
        self.broadcast.lock().due = due;
    }

    /// Waits for news and appends all frames there are to `out`. Cancel-safe: a dropped wait
    /// loses nothing.
    pub async fn next_batch(&mut self, out: &mut Vec<Arc<Frame>>) -> Batch {
        loop {
            // The Arc is cloned so that the borrow of the bell does not hold the subscription.
            let broadcast = self.broadcast.clone();
            let bell = broadcast.wake.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            if let Some(batch) = self.try_batch(out) {
                return batch;
            }
            bell.await;
        }
    }

    /// What there is now: frames first, then a change of state.
    pub fn try_batch(&mut self, out: &mut Vec<Arc<Frame>>) -> Option<Batch> {
        let inner = self.broadcast.lock();
        match inner.ring.read(self.place, out) {
            Err(behind) => {
                self.place = behind.resume;
                return Some(Batch::Lagged { missed: behind.missed });
            }
            Ok(head) if head > self.place => {
                self.place = head;
                return Some(Batch::Frames);
            }
            Ok(_) => {}
        }
        if self.seen == inner.state_version || self.reported == inner.state {
            self.seen = inner.state_version;
            return None;
        }
        self.seen = inner.state_version;
        self.reported = inner.state;
        Some(match inner.state {
            BroadcastState::Live => Batch::Back,
            BroadcastState::Away { since } => Batch::Away { since },
            BroadcastState::Ended(reason) => Batch::Ended(reason),
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broadcast.lock().readers -= 1;
    }
}
