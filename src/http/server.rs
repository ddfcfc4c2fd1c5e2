use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span, warn};

use super::admin::{Admin, Encoder};
use super::answer::Site;
use super::client::Proxies;
use super::conn::{self, Ended, Line, Setting};
use super::metrics::Metrics;
use super::site::{Context, Readiness, Viewers};
use super::slots::Slots;
use super::tls::Tls;
use super::watchdog::Pulse;
use super::wire::Outflow;
use crate::base::{ConnId, Limits};

/// What the kernel may keep of an answer for one connection (W2).
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// What was sent and is not acknowledged for so many times the time that a reader may stall shows
/// that nobody is there any more.
const VANISHED_STALLS: u32 = 3;
/// How long the accept loop rests when the process has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listener that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for HTTP: {0}")]
pub struct ListenError(#[from] io::Error);

/// The viewers' listeners, all over one set of limits and one site.
#[derive(Clone, Debug)]
pub struct Server {
    door: Door<Viewers>,
}

impl Server {
    /// Connections become tasks of `tracker`, which the application waits for when it stops.
    pub fn new(context: Context, tracker: TaskTracker) -> Self {
        let slots = Slots::new(&context.limits, Proxies::new(&context.settings.trusted_proxies));
        let setting = Setting {
            limits: Arc::clone(&context.limits),
            metrics: context.metrics.clone(),
            tracker,
            site: Arc::new(Viewers::new(context)),
        };
        Self { door: Door::new(setting, slots) }
    }

    /// Accepts from a bound socket until `stop`; with `tls` every connection is encrypted.
    /// Connections live on in the tracker: each finishes its answers and ends within the drain
    /// grace.
    pub async fn serve(
        &self,
        listener: std::net::TcpListener,
        tls: Option<Tls>,
        stop: CancellationToken,
    ) -> Result<(), ListenError> {
        self.door.serve(listener, tls, stop).await
    }

    /// Serves one connection that somebody else made, such as a pipe within the process.
    pub fn serve_stream<S>(&self, io: S, tls: Option<Tls>, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.door.welcome(io, None, tls, stop);
    }
}

/// The operator's listener: `/metrics`, `/healthz`, `/readyz`.
#[derive(Clone, Debug)]
pub struct AdminServer {
    door: Door<Admin>,
}

impl AdminServer {
    /// `encoder` writes all metrics of the process.
    pub fn new(
        encoder: Encoder,
        readiness: Readiness,
        metrics: Metrics,
        limits: Arc<Limits>,
        tracker: TaskTracker,
    ) -> Self {
        let slots = Slots::new(&limits, Proxies::default());
        let site = Arc::new(Admin::new(encoder, readiness));
        Self { door: Door::new(Setting { site, limits, metrics, tracker }, slots) }
    }

    /// As [`Server::serve`].
    pub async fn serve(
        &self,
        listener: std::net::TcpListener,
        stop: CancellationToken,
    ) -> Result<(), ListenError> {
        self.door.serve(listener, None, stop).await
    }

    /// As [`Server::serve_stream`].
    pub fn serve_stream<S>(&self, io: S, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.door.welcome(io, None, None, stop);
    }
}

/// An accept loop and its connections, for any site.
#[derive(Debug)]
struct Door<H> {
    setting: Arc<Setting<H>>,
    slots: Slots,
    conn_ids: Arc<AtomicU64>,
}

impl<H> Clone for Door<H> {
    fn clone(&self) -> Self {
        Self {
            setting: Arc::clone(&self.setting),
            slots: self.slots.clone(),
            conn_ids: Arc::clone(&self.conn_ids),
        }
    }
}

impl<H: Site> Door<H> {
    fn new(setting: Setting<H>, slots: Slots) -> Self {
        Self { setting: Arc::new(setting), slots, conn_ids: Arc::default() }
    }

    /// Accepts from a bound socket until `stop`. Connections live on in the tracker: each
    /// finishes its answers and ends within the drain grace.
    async fn serve(
        &self,
        listener: std::net::TcpListener,
        tls: Option<Tls>,
        stop: CancellationToken,
    ) -> Result<(), ListenError> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut spare = Spare::take();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((io, peer)) => {
                    // A socket that refuses its options is on its way out; a read will say so.
                    if let Err(err) = prepare(&io, &self.setting.limits) {
                        debug!(%err, "socket options");
                    }
                    self.welcome(io, Some(peer.ip()), tls.clone(), &stop);
                }
                Err(err) => match Trouble::of(&err) {
                    Trouble::Peer => debug!(%err, "a connection was gone before it was accepted"),
                    Trouble::Exhausted => {
                        warn!(%err, "out of descriptors or memory; refusing a connection");
                        self.setting.metrics.count_refused("descriptors");
                        spare.refuse_one(&listener).await;
                        sleep(EXHAUSTED_PAUSE).await;
                    }
                    Trouble::Listener => return Err(err.into()),
                },
            }
        }
    }

    /// Gives a connection its slot and its task, or closes it.
    fn welcome<S>(&self, io: S, peer: Option<IpAddr>, tls: Option<Tls>, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let metrics = &self.setting.metrics;
        let slot = match self.slots.take(peer) {
            Ok(slot) => slot,
            Err(why) => return metrics.count_refused(why.as_str()),
        };
        let id = ConnId(self.conn_ids.fetch_add(1, Ordering::Relaxed));
        let held = (slot, metrics.count_connection());
        let span = debug_span!("conn", %id, http = true);
        let (setting, stop) = (Arc::clone(&self.setting), stop.clone());
        let serving = async move {
            let _held = held;
            let pulse = Arc::new(Pulse::default());
            let io = Outflow::new(io, Arc::clone(&pulse));
            let ended = match tls {
                None => {
                    let line = Line { io, id, peer, protocol: None, tls: false, pulse };
                    conn::serve(line, &setting, &stop).await
                }
                // On the heap, so that plain connections are not as large as encrypted ones.
                Some(tls) => {
                    Box::pin(serve_encrypted(io, (id, peer), pulse, &tls, &setting, &stop)).await
                }
            };
            report(&ended, &setting.metrics);
        };
        self.setting.tracker.spawn(serving.instrument(span));
    }
}

async fn serve_encrypted<H, S>(
    io: Outflow<S>,
    (id, peer): (ConnId, Option<IpAddr>),
    pulse: Arc<Pulse>,
    tls: &Tls,
    setting: &Setting<H>,
    stop: &CancellationToken,
) -> Ended
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tls.accept(io, &setting.limits).await {
        Ok((io, protocol)) => {
            conn::serve(Line { io, id, peer, protocol, tls: true, pulse }, setting, stop).await
        }
        Err(err) => Ended::NotEncrypted(err),
    }
}

fn report(ended: &Ended, metrics: &Metrics) {
    match ended {
        Ended::Done => {}
        Ended::Cut(close) => {
            debug!(reason = close.as_str(), "connection closed");
            metrics.count_closed(*close);
        }
        Ended::Broken(err) => debug!(%err, "connection broken"),
        Ended::Lost(err) => debug!(%err, "connection lost"),
        Ended::NotEncrypted(err) => {
            debug!(%err, "no TLS connection");
            metrics.count_refused(err.as_str());
        }
    }
}

fn prepare(io: &TcpStream, limits: &Limits) -> io::Result<()> {
    io.set_nodelay(true)?;
    // A viewer who vanished acknowledges nothing and says nothing either. Who reads slowly meets the
    // watchdog long before this; who reads nothing at all of the last bytes, which the kernel holds,
    // meets this (W2).
    SockRef::from(io).set_tcp_user_timeout(Some(limits.send_stall_max * VANISHED_STALLS))?;
    // The kernel books twice what it is told, for its own bookkeeping.
    SockRef::from(io).set_send_buffer_size(SEND_BUFFER_BYTES / 2)
}

/// Whose trouble a failed accept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The peer left while it waited.
    Peer,
    /// No descriptor or memory left: it passes (W7).
    Exhausted,
    /// The listener itself is broken.
    Listener,
}

impl Trouble {
    fn of(err: &io::Error) -> Self {
        const ENOMEM: i32 = 12;
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        const EINVAL: i32 = 22;
        const EBADF: i32 = 9;
        const ENOTSOCK: i32 = 88;
        const ENOBUFS: i32 = 105;
        match err.raw_os_error() {
            Some(ENOMEM | ENFILE | EMFILE | ENOBUFS) => Self::Exhausted,
            Some(EINVAL | EBADF | ENOTSOCK) => Self::Listener,
            // Linux hands errors of the waiting connection to accept: ECONNABORTED, EPROTO, ...
            Some(_) | None => Self::Peer,
        }
    }
}

/// One descriptor kept aside, so that a connection can be taken off the queue and closed while
/// the process has no other left; else the queue's head would wake us for ever.
#[derive(Debug)]
struct Spare(Option<File>);

impl Spare {
    fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn refuse_one(&mut self, listener: &TcpListener) {
        if self.0.take().is_none() {
            *self = Self::take();
            return;
        }
        tokio::select! {
            biased;
            accepted = listener.accept() => drop(accepted),
            // Somebody else took it.
            () = std::future::ready(()) => {}
        }
        *self = Self::take();
    }
}

#[cfg(test)]
#[path = "server_tests/mod.rs"]
mod tests;
