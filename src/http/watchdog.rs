use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::base::Limits;

/// A reader that takes less than this in `Limits::send_stall_max` is let go (W2).
const PROGRESS_BYTES_MIN: u64 = 16 * 1024;

/// What one connection is doing, written by its sockets, its service and its bodies, and read by
/// its [`Watchdog`].
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that the socket took.
    sent_bytes: AtomicU64,
    /// A write waits for the peer to read.
    write_blocked: AtomicBool,
    /// Bytes came since the last request began: a head is on its way.
    head_begun: AtomicBool,
    /// The peer ends lines with a bare line feed, which two servers read as two different things.
    bare_line_feed: AtomicBool,
    /// Requests begun.
    requests: AtomicU64,
    /// Requests without an answer yet.
    unanswered: AtomicUsize,
    /// Bodies that the connection has not taken in whole.
    owed: AtomicUsize,
    /// Requests held for media to come.
    pub(super) held: AtomicUsize,
}

impl Pulse {
    pub(super) fn add_sent(&self, bytes: usize) {
        self.write_blocked.store(false, Ordering::Relaxed);
        self.sent_bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn set_write_blocked(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_head_begun(&self) {
        self.head_begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_bare_line_feed(&self) {
        self.bare_line_feed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_bare_line_feed(&self) -> bool {
        self.bare_line_feed.load(Ordering::Relaxed)
    }

    /// A whole head arrived. The answer is awaited until the guard goes.
    pub(super) fn begin_request(self: &Arc<Self>) -> Unanswered {
        self.head_begun.store(false, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered(Arc::clone(self))
    }

    /// Neither side has anything on its way to the other: all that was read was answered, and all
    /// that was answered has left.
    pub(super) fn is_resting(&self) -> bool {
        !self.head_begun.load(Ordering::Relaxed)
            && self.unanswered.load(Ordering::Relaxed) == 0
            && self.owed.load(Ordering::Relaxed) == 0
            && !self.write_blocked.load(Ordering::Relaxed)
    }

    /// Number of the newest request on this connection, from 1.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn stage(&self, protocol: Protocol) -> Stage {
        let requests = self.requests();
        if 0 < self.owed.load(Ordering::Relaxed) || self.write_blocked.load(Ordering::Relaxed) {
            Stage::Sending
        } else if 0 < self.unanswered.load(Ordering::Relaxed) {
            Stage::Answering
        } else if requests == 0
            || (protocol == Protocol::Http1 && self.head_begun.load(Ordering::Relaxed))
        {
            Stage::Head { after: requests }
        } else {
            Stage::Idle { after: requests }
        }
    }
}

/// A request waits for its answer while this lives.
#[derive(Debug)]
pub(super) struct Unanswered(Arc<Pulse>);

impl Unanswered {
    /// The answer is there; now its body is owed.
    pub(super) fn owe(&self) -> Owed {
        self.0.owed.fetch_add(1, Ordering::Relaxed);
        Owed(Arc::clone(&self.0))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body is on its way while this lives.
#[derive(Debug)]
pub(super) struct Owed(Arc<Pulse>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Why a watchdog ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// No whole request head in time (W1).
    SlowHead,
    /// No request at all for long: nothing is lost by closing (W1).
    Idle,
    /// The reader takes too little (W2).
    SlowReader,
    /// The server stops, and its grace is over.
    Drained,
}

impl Close {
    /// The metric label and log field.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::Idle => "idle",
            Self::SlowReader => "slow_reader",
            Self::Drained => "drained",
        }
    }
}

/// Where a connection stands. Each stage but one has a time limit, counted from its beginning;
/// a new request begins a new stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head {
        after: u64,
    },
    Idle {
        after: u64,
    },
    /// Being answered, or held: whoever holds it has its own deadline.
    Answering,
    Sending,
}

/// The one timer of a connection. It is moved only when it must ring earlier than it would, and
/// otherwise finds out when it rings that nothing is due yet, so that a busy connection costs no
/// timer work.
#[derive(Debug)]
pub(super) struct Watchdog {
    protocol: Protocol,
    head_time_max: Duration,
    idle_max: Duration,
    stall_max: Duration,
    stage: Stage,
    since: Instant,
    /// Bytes sent when the stage began, or when the last look found enough progress.
    sent_before: u64,
    /// The end of the grace, once the server stops.
    drained_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// When the timer rings, once it was told whom to wake. That never changes: a connection stays
    /// in one task.
    rings_at: Option<Instant>,
}

impl Watchdog {
    pub(super) fn new(protocol: Protocol, limits: &Limits) -> Self {
        Self {
            protocol,
            head_time_max: limits.request_head_time_max,
            idle_max: limits.http_idle_max,
            stall_max: limits.send_stall_max,
            stage: Stage::Head { after: 0 },
            since: Instant::now(),
            sent_before: 0,
            drained_at: None,
            timer: Box::pin(sleep(limits.request_head_time_max)),
            rings_at: None,
        }
    }

    /// The server stops: whatever still runs after `grace` is cut.
    pub(super) fn drain_within(&mut self, grace: Duration) {
        self.drained_at = Some(Instant::now() + grace);
    }

    /// Ready when a limit of the connection is reached. Poll it after the connection itself, so
    /// that it sees what that has just done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, pulse: &Pulse) -> Poll<Close> {
        let now = Instant::now();
        self.note_stage(pulse, now);
        // The timer lies elsewhere in memory: of a connection among thousands, it is cold.
        if self.rings_at.is_some_and(|at| now < at && at <= self.due()) {
            return Poll::Pending;
        }
        loop {
            let due = self.due();
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                self.rings_at = Some(self.timer.deadline());
                return Poll::Pending;
            }
            let now = Instant::now();
            if self.drained_at.is_some_and(|at| at <= now) {
                return Poll::Ready(Close::Drained);
            }
            if due <= now
                && let Some(close) = self.judge(pulse, now)
            {
                return Poll::Ready(close);
            }
            let due = self.due();
            self.timer.as_mut().reset(due);
        }
    }

    fn note_stage(&mut self, pulse: &Pulse, now: Instant) {
        let stage = pulse.stage(self.protocol);
        if stage != self.stage {
            self.stage = stage;
            self.since = now;
            self.sent_before = pulse.sent_bytes.load(Ordering::Relaxed);
        }
    }

    /// When to look again.
    fn due(&self) -> Instant {
        let due = match self.stage {
            Stage::Head { .. } => self.since + self.head_time_max,
            Stage::Idle { .. } | Stage::Answering => self.since + self.idle_max,
            Stage::Sending => self.since + self.stall_max,
        };
        self.drained_at.map_or(due, |at| at.min(due))
    }

    /// The stage has lasted its time: is that a reason to close?
    fn judge(&mut self, pulse: &Pulse, now: Instant) -> Option<Close> {
        match self.stage {
            Stage::Head { .. } => return Some(Close::SlowHead),
            Stage::Idle { .. } => return Some(Close::Idle),
            Stage::Answering => {}
            Stage::Sending => {
                let sent = pulse.sent_bytes.load(Ordering::Relaxed);
                if sent.saturating_sub(self.sent_before) < PROGRESS_BYTES_MIN {
                    return Some(Close::SlowReader);
                }
                self.sent_before = sent;
            }
        }
        self.since = now;
        None
    }
}
