//! One connection: bytes of any stream through handshake, wire and session, and back.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};
use tokio::task;
use tokio::time::{self, Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::admit::admit;
use super::context::Context;
use super::handshake::{Handshake, Progress};
use super::inbox::Inbox;
use super::low_water::{Appetite, LowWater};
use super::metrics::{Reached, Slowed};
use super::outbox::Outbox;
use super::publish::Publishing;
use super::session::{Event, Session};
use super::status::Cause;
use super::throttle::Throttle;
use super::wire::Wire;
use crate::base::{ConnId, MonoTime, Now};
use crate::hub::EndReason;

/// Read at once before `publish` was accepted, and after it.
const READ_BYTES_SMALL: usize = 4 * 1024;
const READ_BYTES: usize = 32 * 1024;
/// How often at most a publication looks at its waiting rules, and whether it was stopped.
const TICK: Duration = Duration::from_millis(100);
/// While media flows, reads do the ticks: the timer lets them come first.
const TICK_SLACK: Duration = Duration::from_millis(100);
/// Media is read after so long even where nobody waits for it. What lies in the socket when another
/// publisher takes over is not shown: no more than this, or 64 KiB.
const LULL_MAX: Duration = Duration::from_millis(250);
/// At the first tick after this long without a read, what lies in the socket is read, however
/// little it is.
const LINGERING_MAX: Duration = Duration::from_millis(40);
/// Waking so late is no busy moment: the process was stopped, or its machine.
const OVERSLEEP_MIN: Duration = Duration::from_secs(2);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) id: ConnId,
    pub(super) address: SocketAddr,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) cause: Cause,
    pub(super) reached: Reached,
}

/// Serves one connection until it ends, says why to the peer, and gives it time to hear that.
/// `low_water` is read by the stream, where it can.
pub(super) async fn serve<S>(
    stream: S,
    low_water: LowWater,
    peer: Peer,
    context: &Context,
    stop: &CancellationToken,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let mut outbox = Outbox::new(writer, &context.limits);
    let mut input = BytesMut::new();
    let hands = shake_hands(&mut reader, &mut outbox, &mut input, context, stop).await;
    if let Err(cause) = hands {
        return Ended { cause, reached: Reached::Hall };
    }

    let now = context.clock.now().mono;
    let mut session = Session::new(&context.limits, &context.settings, now);
    session.handle_received(input.len(), now);
    let mut conn = Conn {
        reader,
        low_water,
        appetite: Appetite::default(),
        outbox,
        inbox: Inbox::new(&input),
        wire: Wire::new(&context.limits),
        session,
        publishing: None,
        reached: Reached::Hall,
        finished: false,
        next_tick: now,
        last_read: now,
        lull_until: None,
        timer: Box::pin(time::sleep(Duration::ZERO)),
        timer_at: None,
        throttle: Throttle::new(&context.limits, now),
        paused_until: None,
        leaving_until: None,
        turn_bytes: 0,
        peer,
        context,
    };
    let cause = conn.run(stop).await;
    conn.close(cause).await
}

async fn shake_hands<S>(
    reader: &mut ReadHalf<S>,
    outbox: &mut Outbox<WriteHalf<S>>,
    input: &mut BytesMut,
    context: &Context,
    stop: &CancellationToken,
) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite,
{
    let mut handshake = Handshake::new();
    let whole = async {
        loop {
            input.reserve(READ_BYTES_SMALL);
            let read = reader.read_buf(input).await.map_err(broken)?;
            if read == 0 {
                return Err(Cause::Left);
            }
            context.metrics.count_bytes(read);
            let progress = handshake.handle_bytes(input).map_err(Cause::Handshake)?;
            let (reply, done) = match progress {
                Progress::Going { reply } => (reply, false),
                Progress::Done { reply } => (reply, true),
            };
            outbox.push(&reply, context.clock.now().mono)?;
            while !outbox.is_empty() {
                outbox.send_some().await.map_err(broken)?;
            }
            if done {
                return Ok(());
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Cause::Draining),
        end = time::timeout(context.limits.handshake_time_max, whole) => {
            end.unwrap_or(Err(Cause::HandshakeTimeout))
        }
    }
}

/// A connection after its handshake.
struct Conn<'a, S> {
    reader: ReadHalf<S>,
    low_water: LowWater,
    appetite: Appetite,
    outbox: Outbox<WriteHalf<S>>,
    inbox: Inbox,
    wire: Wire,
    session: Session,
    publishing: Option<Publishing>,
    reached: Reached,
    /// The last publication was ended by its encoder.
    finished: bool,
    next_tick: MonoTime,
    last_read: MonoTime,
    /// Until then media may wait in the socket.
    lull_until: Option<MonoTime>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    timer_at: Option<MonoTime>,
    throttle: Throttle,
    /// Nothing is read or handled before this.
    paused_until: Option<MonoTime>,
    /// The publisher was asked to reconnect and may take until then.
    leaving_until: Option<MonoTime>,
    /// Bytes read since this task last let the others go first.
    turn_bytes: usize,
    peer: Peer,
    context: &'a Context,
}

/// What a connection woke up for.
enum Wake {
    Stop,
    Sent(io::Result<()>),
    Time,
    Read(io::Result<usize>),
}

impl<S> Conn<'_, S>
where
    S: AsyncRead + AsyncWrite + Send,
{
    async fn run(&mut self, stop: &CancellationToken) -> Cause {
        let now = self.context.clock.now();
        if let Err(cause) = self.handle_input(now).await {
            return cause;
        }
        loop {
            let wake = self.wait(stop).await;
            if let Err(cause) = self.handle_wake(wake, stop).await {
                return cause;
            }
        }
    }

    /// Cancel-safe in all its branches: nothing is lost when another one is first. Each look at a
    /// thing to wait for costs something with every read, so a publication, which has a tick, looks
    /// for a stop with that.
    async fn wait(&mut self, stop: &CancellationToken) -> Wake {
        self.set_timer();
        let publishing = self.publishing.is_some();
        let paused = self.is_paused();
        if paused {
            self.inbox.give_back();
        }
        let bytes_max = if publishing { READ_BYTES } else { READ_BYTES_SMALL };
        tokio::select! {
            biased;
            () = stop.cancelled(), if !publishing && self.leaving_until.is_none() => Wake::Stop,
            sent = self.outbox.send_some(), if !self.outbox.is_empty() => Wake::Sent(sent),
            () = &mut self.timer, if self.timer_at.is_some() => Wake::Time,
            read = self.inbox.read(&mut self.reader, bytes_max), if !paused => Wake::Read(read),
        }
    }

    /// One timer for all deadlines. Moving it to a later time costs little.
    fn set_timer(&mut self) {
        let deadline = self.next_deadline();
        if deadline == self.timer_at && !self.timer.is_elapsed() {
            return;
        }
        self.timer_at = deadline;
        if let Some(deadline) = deadline {
            let left = deadline.since(self.context.clock.now().mono);
            self.timer.as_mut().reset(Instant::now() + left);
        }
    }

    async fn handle_wake(&mut self, wake: Wake, stop: &CancellationToken) -> Result<(), Cause> {
        let now = self.context.clock.now();
        // A process that stood still wakes to deadlines that all have passed, while what its peers
        // sent meanwhile waits unread. They are not to blame, so their time begins again.
        if self.timer_at.is_some_and(|due| due + OVERSLEEP_MIN <= now.mono) {
            self.session.handle_oversleep(now.mono);
        }
        match wake {
            Wake::Stop => return Err(Cause::Draining),
            Wake::Sent(sent) => {
                sent.map_err(broken)?;
                self.outbox.note_moved(now.mono);
            }
            Wake::Time => {}
            Wake::Read(read) => {
                let bytes = read.map_err(broken)?;
                if bytes == 0 {
                    return Err(Cause::Left);
                }
                self.context.metrics.count_bytes(bytes);
                if let Some(publishing) = &self.publishing {
                    publishing.count_bytes(bytes);
                }
                self.last_read = now.mono;
                self.session.handle_received(bytes, now.mono);
                self.handle_input(now).await?;
                self.note_rate(bytes, now.mono)?;
                self.take_turns(bytes).await;
            }
        }
        self.handle_time(now, stop).await?;
        // What a pause left over goes on when it ends, whether or not more comes.
        self.handle_input(now).await?;
        self.wish(now.mono);
        Ok(())
    }

    /// Handles every message that is whole, up to one that asks for a pause.
    async fn handle_input(&mut self, now: Now) -> Result<(), Cause> {
        let next = |wire: &mut Wire, input: &mut BytesMut| {
            wire.handle_bytes(input, now.mono).map_err(Cause::Wire)
        };
        while !self.is_paused() {
            if let Some(event) = self.session.next_event() {
                self.handle_event(event, now).await?;
            } else if let Some(message) = next(&mut self.wire, self.inbox.bytes())? {
                self.session.handle_message(message, now.mono)?;
            } else {
                break;
            }
        }
        self.outbox.push(&self.session.take_output(), now.mono)
    }

    /// Comes too fast: nothing is read, and nothing handled that was.
    fn is_paused(&self) -> bool {
        let by_pace = self.publishing.as_ref().and_then(Publishing::paused_until);
        self.paused_until.or(by_pace).is_some()
    }

    async fn handle_event(&mut self, event: Event, now: Now) -> Result<(), Cause> {
        match event {
            Event::PublishAsked(asked) => {
                // Nothing is read while the answer is found, so nothing piles up either.
                self.inbox.give_back();
                // It is boxed: it passes once, and is larger than all the rest.
                let publishing = Box::pin(admit(asked, self.peer, now, self.context)).await?;
                tracing::info!(
                    channel = %publishing.channel(),
                    key = %publishing.key(),
                    "publish accepted"
                );
                let now = self.context.clock.now().mono;
                self.wire.raise_ceilings();
                self.session.accept_publish(now);
                self.publishing = Some(publishing);
                (self.reached, self.finished, self.next_tick) = (Reached::Publishing, false, now);
            }
            Event::PublishEnded => {
                self.finished = true;
                if let Some(publishing) = self.publishing.take() {
                    publishing.finish(&Cause::Finished, now.mono);
                }
            }
            Event::Metadata(_) | Event::Video { .. } | Event::Audio { .. } => {
                if let Event::Video { body, .. } = &event {
                    self.appetite.note_video(body);
                }
                if let Some(publishing) = &mut self.publishing {
                    publishing.handle_event(event, now, self.context).await?;
                }
            }
        }
        Ok(())
    }

    /// A publisher that understands is asked to reconnect, and its media is taken until it has
    /// left (Enhanced RTMP v2, "Reconnect Request"). Everybody else ends here.
    fn handle_drain(&mut self, now: MonoTime) -> Result<(), Cause> {
        let asked = self.session.ask_reconnect("This server is about to stop.");
        if !asked || self.publishing.is_none() {
            return Err(Cause::Draining);
        }
        // What is left of the grace is for the goodbye, and for viewers to fetch the end.
        self.leaving_until = Some(now + self.context.limits.drain_grace / 3);
        Ok(())
    }

    async fn handle_time(&mut self, now: Now, stop: &CancellationToken) -> Result<(), Cause> {
        if self.leaving_until.is_some_and(|until| until <= now.mono) {
            return Err(Cause::Draining);
        }
        self.paused_until = self.paused_until.filter(|&until| now.mono < until);
        self.session.handle_time(now.mono)?;
        self.outbox.push(&self.session.take_output(), now.mono)?;
        if self.outbox.deadline().is_some_and(|deadline| deadline <= now.mono) {
            return Err(Cause::WriteStalled);
        }
        if self.next_tick <= now.mono
            && let Some(publishing) = &mut self.publishing
        {
            self.next_tick = now.mono + TICK;
            publishing.handle_tick(now, self.context).await?;
            self.look_for_stop(now.mono, stop)?;
        }
        Ok(())
    }

    /// Whether this publication was stopped, or the whole server is.
    fn look_for_stop(&mut self, now: MonoTime, stop: &CancellationToken) -> Result<(), Cause> {
        let heard = self.leaving_until.map(|_| EndReason::Draining);
        let keys = &self.context.keys;
        let stopped = self.publishing.as_mut().and_then(|p| p.stopped(heard, keys));
        match stopped {
            Some(EndReason::Draining) => self.handle_drain(now),
            Some(reason) => Err(reason.into()),
            None if heard.is_none() && stop.is_cancelled() => self.handle_drain(now),
            None => Ok(()),
        }
    }

    /// Says how many bytes the next read is worth waking for. A connection without a publication
    /// reads all that comes, and so does one that read nothing for a moment: what is there may be
    /// the last for long. While nobody waits for its media, it wakes for nothing but plenty.
    fn wish(&mut self, now: MonoTime) {
        let waits = self.low_water.is_read() && !self.is_paused();
        let lull = self.publishing.as_ref().filter(|_| waits).and_then(|p| p.lull(now));
        let until = lull.map(|until| until.min(self.last_read + LULL_MAX));
        self.lull_until = until.filter(|&until| now < until);
        let lingering = now.since(self.last_read) >= LINGERING_MAX;
        let bytes = if self.lull_until.is_some() {
            usize::MAX
        } else if self.publishing.is_none() || lingering {
            1
        } else {
            self.appetite.bytes(self.wire.missing_bytes())
        };
        self.low_water.set(bytes);
    }

    fn next_deadline(&self) -> Option<MonoTime> {
        let tick = self.publishing.as_ref().map(|_| self.next_tick + TICK_SLACK);
        let own = [tick, self.paused_until, self.leaving_until, self.lull_until];
        let all = [self.session.next_deadline(), self.outbox.deadline()].into_iter().chain(own);
        all.flatten().min()
    }

    /// Reads on only when the peer keeps to its bytes a second; what it sends meanwhile waits with
    /// it, not with us.
    fn note_rate(&mut self, bytes: usize, now: MonoTime) -> Result<(), Cause> {
        let Some(excess) = self.throttle.handle_read(bytes, now)? else { return Ok(()) };
        if excess.is_new {
            tracing::warn!(peer = %self.peer.address, "more bytes a second than are allowed");
        }
        self.context.metrics.count_slowed(Slowed::Bytes);
        self.paused_until = Some(now + excess.wait);
        Ok(())
    }

    /// One fast publisher must not keep a worker thread from the others.
    async fn take_turns(&mut self, bytes: usize) {
        self.turn_bytes += bytes;
        if self.turn_bytes >= self.context.limits.read_turn_bytes_max {
            self.turn_bytes = 0;
            task::yield_now().await;
        }
    }

    /// Ends the publication, tells the peer, and closes so that it can read what it was told:
    /// closing with unread bytes would make the kernel throw the text away.
    async fn close(&mut self, cause: Cause) -> Ended {
        self.low_water.set(1);
        self.inbox.give_back();
        let now = self.context.clock.now().mono;
        let left = matches!(cause, Cause::Left | Cause::Broken(_) | Cause::PublishTimeout);
        let cause = if left && self.finished { Cause::Finished } else { cause };
        if let Some(publishing) = self.publishing.take() {
            publishing.finish(&cause, now);
        }
        self.session.refuse(&cause);
        // When it does not read there is nothing more to try.
        let told = self.outbox.push(&self.session.take_output(), now).is_ok();
        if told && !left {
            let goodbye = async {
                let _ = self.outbox.finish().await;
                discard(&mut self.reader).await;
            };
            let _ = time::timeout(self.context.limits.linger_max, goodbye).await;
        }
        Ended { cause, reached: self.reached }
    }
}

/// Reads to the end without keeping anything.
async fn discard<S: AsyncRead>(reader: &mut ReadHalf<S>) {
    let mut sink = vec![0; READ_BYTES_SMALL];
    while let Ok(1..) = reader.read(&mut sink).await {}
}

fn broken(error: io::Error) -> Cause {
    Cause::Broken(error.kind())
}

#[cfg(test)]
#[path = "conn_rules_tests.rs"]
mod rules;
#[cfg(test)]
#[path = "conn_tests.rs"]
mod tests;
