//! One connection: bytes of any stream through handshake, wire and session, and back.

use std::net::SocketAddr;
use std::time::Duration;
use std::{future, io};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};
use tokio::{task, time};
use tokio_util::sync::CancellationToken;

use super::admit::admit;
use super::context::Context;
use super::handshake::{Handshake, Progress};
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
/// How often a publication looks at its waiting rules.
const TICK: Duration = Duration::from_millis(100);
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
pub(super) async fn serve<S>(
    stream: S,
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
        outbox,
        input,
        wire: Wire::new(&context.limits),
        session,
        publishing: None,
        reached: Reached::Hall,
        finished: false,
        next_tick: now,
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
    outbox: Outbox<WriteHalf<S>>,
    input: BytesMut,
    wire: Wire,
    session: Session,
    publishing: Option<Publishing>,
    reached: Reached,
    /// The last publication was ended by its encoder.
    finished: bool,
    next_tick: MonoTime,
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
    Stopped(EndReason),
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
            let due = self.next_deadline();
            let wake = self.wait(stop).await;
            self.handle_oversleep(due);
            if let Err(cause) = self.handle_wake(wake).await {
                return cause;
            }
        }
    }

    /// Cancel-safe in all its branches: nothing is lost when another one is first.
    async fn wait(&mut self, stop: &CancellationToken) -> Wake {
        let now = self.context.clock.now().mono;
        let time_left = self.next_deadline().map(|deadline| deadline.since(now));
        let paused = self.is_paused();
        let size = if self.publishing.is_some() { READ_BYTES } else { READ_BYTES_SMALL };
        self.input.reserve(size);
        let keys = &self.context.keys;
        let heard = self.leaving_until.map(|_| EndReason::Draining);
        tokio::select! {
            biased;
            () = stop.cancelled(), if heard.is_none() => Wake::Stop,
            reason = stopped(&mut self.publishing, heard, keys) => Wake::Stopped(reason),
            sent = self.outbox.send_some(), if !self.outbox.is_empty() => Wake::Sent(sent),
            () = sleep(time_left) => Wake::Time,
            read = self.reader.read_buf(&mut self.input), if !paused => Wake::Read(read),
        }
    }

    /// A process that stood still wakes to deadlines that all have passed, while what its peers
    /// sent meanwhile waits unread. They are not to blame, so their time begins again.
    fn handle_oversleep(&mut self, due: Option<MonoTime>) {
        let now = self.context.clock.now().mono;
        if due.is_some_and(|due| due + OVERSLEEP_MIN <= now) {
            self.session.handle_oversleep(now);
        }
    }

    async fn handle_wake(&mut self, wake: Wake) -> Result<(), Cause> {
        let now = self.context.clock.now();
        match wake {
            Wake::Stop | Wake::Stopped(EndReason::Draining) => self.handle_drain(now.mono)?,
            Wake::Stopped(reason) => return Err(reason.into()),
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
                self.session.handle_received(bytes, now.mono);
                self.handle_input(now).await?;
                self.note_rate(bytes, now.mono)?;
                self.take_turns(bytes).await;
            }
        }
        self.handle_time(now).await?;
        // What a pause left over goes on when it ends, whether or not more comes.
        self.handle_input(now).await
    }

    /// Handles every message that is whole, up to one that asks for a pause.
    async fn handle_input(&mut self, now: Now) -> Result<(), Cause> {
        let next = |wire: &mut Wire, input: &mut BytesMut| {
            wire.handle_bytes(input, now.mono).map_err(Cause::Wire)
        };
        while !self.is_paused() {
            if let Some(event) = self.session.next_event() {
                self.handle_event(event, now).await?;
            } else if let Some(message) = next(&mut self.wire, &mut self.input)? {
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
                let publishing = admit(asked, self.peer, now, self.context).await?;
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

    async fn handle_time(&mut self, now: Now) -> Result<(), Cause> {
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
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<MonoTime> {
        let tick = self.publishing.as_ref().map(|_| self.next_tick);
        let own = [tick, self.paused_until, self.leaving_until];
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
    async fn close(mut self, cause: Cause) -> Ended {
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

async fn stopped(
    publishing: &mut Option<Publishing>,
    heard: Option<EndReason>,
    keys: &crate::accounts::Keys,
) -> EndReason {
    match publishing {
        Some(publishing) => publishing.stopped(heard, keys).await,
        None => future::pending().await,
    }
}

async fn sleep(length: Option<Duration>) {
    match length {
        Some(length) => time::sleep(length).await,
        None => future::pending().await,
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
