//! The door: accepts connections of all RTMP listeners within their limits.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::conn::{self, Ended, Peer};
use super::context::Context;
use super::logbook::Logbook;
use super::low_water::{LowWater, Socket};
use super::metrics::{Raised, Reached};
use super::slots::{Slot, Slots};
use super::status::Cause;
use crate::base::{ConnId, MonoTime};

/// How long accepting rests when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What `accept` says then (Linux: ENFILE, EMFILE, ENOBUFS, ENOMEM).
const EXHAUSTED: &[i32] = &[23, 24, 105, 12];

/// The RTMP server: one for all its listeners, plain and TLS, since its limits count them
/// together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    context: Context,
    slots: Slots,
    tls_handshakes: Semaphore,
    tasks: TaskTracker,
    logbook: Logbook,
    last_id: AtomicU64,
}

impl Server {
    /// Connections run on `tasks`, so that whoever stops the server can wait for them.
    pub fn new(context: Context, tasks: TaskTracker) -> Self {
        let slots = Slots::new(&context.limits);
        let tls_handshakes = Semaphore::new(context.limits.tls_handshakes_max);
        let logbook = Logbook::default();
        let last_id = AtomicU64::new(0);
        let shared = Shared { context, slots, tls_handshakes, tasks, logbook, last_id };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts until `stop`, which also ends the connections. With `tls` the listener speaks
    /// RTMPS; a certificate that is replaced inside it counts from the next handshake on.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let mut spare = Spare::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.open(stream, address, tls.clone(), &stop),
                Err(error) if is_exhausted(&error) => {
                    spare.turn_one_away(&listener).await;
                    tracing::error!(%error, "no descriptor for a new connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
                // The peer was gone before we looked.
                Err(_) => {}
            }
        }
    }

    /// Serves one connection that somebody else made, such as a pipe within the process; it counts
    /// for this address.
    pub fn serve_stream<S>(&self, stream: S, address: SocketAddr, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let Some(guest) = self.receive(address) else { return };
        let (shared, stop, peer) = (self.shared.clone(), stop.clone(), guest.peer);
        let serving = async move {
            conn::serve(stream, LowWater::default(), peer, &shared.context, &stop).await
        };
        self.attend(guest, Box::pin(serving));
    }

    fn open(
        &self,
        stream: TcpStream,
        mut address: SocketAddr,
        tls: Option<TlsAcceptor>,
        stop: &CancellationToken,
    ) {
        // An IPv4 peer of a dual-stack socket is shown as what it is.
        address.set_ip(address.ip().to_canonical());
        let Some(guest) = self.receive(address) else { return reset(stream) };
        tune(&stream, self.shared.context.limits.ingest_silence_max);
        let (shared, stop, peer) = (self.shared.clone(), stop.clone(), guest.peer);
        let serving = async move { shared.serve(stream, peer, tls, &stop).await };
        self.attend(guest, Box::pin(serving));
    }

    /// A place for a connection, unless there is none.
    fn receive(&self, address: SocketAddr) -> Option<Guest> {
        let shared = &self.shared;
        let since = shared.context.clock.now().mono;
        let id = ConnId(shared.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let peer = Peer { id, address };
        match shared.slots.take(address.ip(), since) {
            Ok(slot) => Some(Guest { peer, slot, since }),
            Err(cause) => {
                shared.note_end(peer, &Ended { cause, reached: Reached::Door }, since);
                None
            }
        }
    }

    /// `serving` is boxed: a future that waits for another one would hold it twice.
    fn attend(&self, guest: Guest, serving: Pin<Box<dyn Future<Output = Ended> + Send>>) {
        let shared = self.shared.clone();
        let Guest { peer, slot, since } = guest;
        let span = tracing::info_span!("conn", id = %peer.id);
        let task = async move {
            let _open = Raised::new(&shared.context.metrics.connections);
            let ended = serving.await;
            drop(slot);
            shared.note_end(peer, &ended, since);
        };
        self.shared.tasks.spawn(task.instrument(span));
    }
}

/// A connection that has its place.
struct Guest {
    peer: Peer,
    slot: Slot,
    since: MonoTime,
}

impl Shared {
    async fn serve(
        &self,
        stream: TcpStream,
        peer: Peer,
        tls: Option<TlsAcceptor>,
        stop: &CancellationToken,
    ) -> Ended {
        let Some(tls) = tls else {
            let low_water = LowWater::of_socket();
            let socket = Socket::new(stream, low_water.clone());
            return conn::serve(socket, low_water, peer, &self.context, stop).await;
        };
        let door = |cause| Ended { cause, reached: Reached::Door };
        let Ok(turn) = self.tls_handshakes.try_acquire() else {
            reset(stream);
            return door(Cause::TlsBusy);
        };
        let limit = self.context.limits.tls_handshake_time_max;
        let hands = tokio::select! {
            biased;
            () = stop.cancelled() => return door(Cause::Draining),
            hands = time::timeout(limit, tls.accept(stream)) => hands,
        };
        drop(turn);
        match hands {
            // What lies in the socket is encrypted, so its length says nothing.
            Ok(Ok(stream)) => {
                let serving = conn::serve(stream, LowWater::default(), peer, &self.context, stop);
                // Boxed: a connection without encryption would hold the room for it.
                Box::pin(serving).await
            }
            Ok(Err(_)) => door(Cause::TlsFailed),
            Err(_) => door(Cause::TlsTimeout),
        }
    }

    fn note_end(&self, peer: Peer, ended: &Ended, since: MonoTime) {
        let now = self.context.clock.now().mono;
        self.context.metrics.count_end(ended.reached, &ended.cause);
        self.logbook.note_end(peer, ended, now.since(since), now);
    }
}

/// Answers at once, and notices a peer that vanished without a word. A socket that takes no
/// option still works.
fn tune(stream: &TcpStream, silence_max: Duration) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(silence_max));
}

/// Closes without a goodbye, which costs us nothing to remember.
fn reset(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

fn is_exhausted(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

/// A descriptor kept for the day there is none: with it a waiting connection can be closed
/// instead of being left in the dark.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn turn_one_away(&mut self, listener: &TcpListener) {
        if self.0.take().is_some()
            && let Ok(Ok((stream, _))) = time::timeout(ACCEPT_PAUSE, listener.accept()).await
        {
            reset(stream);
        }
        *self = Self::new();
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
pub(super) mod tests;
