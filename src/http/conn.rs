use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Site, Visits};
use super::lane::Lane;
use super::metrics::Metrics;
use super::tls::TlsError;
use super::watchdog::{Close, Protocol, Pulse, Watchdog};
use super::wire::{Inflow, sniff};
use crate::base::{ConnId, Limits};

/// How long a pause on an HTTP/2 connection may last before we ask whether the peer lives, and how
/// long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_ANSWER_MAX: Duration = Duration::from_secs(10);
/// HTTP/2 windows for what peers send us, which are heads and nothing more.
const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Answer bytes that one HTTP/2 stream may keep beside the shared chunks.
const H2_SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Streams that a peer opened and reset before we looked (rapid reset).
const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams that a peer made us reset by its errors.
const H2_ERROR_RESETS_MAX: usize = 1024;
/// Bytes of an answer that HTTP/1.1 gathers into one write: as many as the kernel takes at once.
/// Half of it costs a third more for each byte sent. It would also be the ceiling of what is read
/// ahead, but no read is large enough to come near it.
const H1_WRITE_BYTES: usize = 256 * 1024;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer left, or both sides were done.
    Done,
    /// A limit of ours.
    Cut(Close),
    /// The peer broke the protocol or its connection.
    Broken(hyper::Error),
    /// A read or a write failed, and the HTTP library was not there.
    Lost(std::io::Error),
    /// The TLS handshake failed.
    NotEncrypted(TlsError),
}

/// Everything the connections of a site share.
#[derive(Debug)]
pub(super) struct Setting<H> {
    pub(super) site: Arc<H>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Metrics,
    pub(super) tracker: TaskTracker,
}

/// One accepted connection, ready to speak HTTP.
pub(super) struct Line<S> {
    pub(super) io: S,
    pub(super) id: ConnId,
    /// `None` for a pipe within the process.
    pub(super) peer: Option<IpAddr>,
    /// Told by ALPN; otherwise the first bytes decide.
    pub(super) protocol: Option<Protocol>,
    pub(super) tls: bool,
    /// Shared with the sending side of the socket.
    pub(super) pulse: Arc<Pulse>,
}

/// Serves one connection to its end: the peer leaves, a limit closes it, or the server stops and
/// the grace is over. Dropping it closes the connection at once and frees what its requests held.
pub(super) async fn serve<H, S>(
    mut line: Line<S>,
    setting: &Setting<H>,
    stop: &CancellationToken,
) -> Ended
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &setting.limits;
    let (protocol, prefix) = match line.protocol {
        Some(protocol) => (protocol, Bytes::new()),
        None => {
            let sniffed = timeout(limits.request_head_time_max, sniff(&mut line.io));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Cut(Close::Drained),
                sniffed = sniffed => match sniffed {
                    Ok(Ok(sniffed)) => sniffed,
                    Ok(Err(err)) => return Ended::Lost(err),
                    Err(_) => return Ended::Cut(Close::SlowHead),
                },
            }
        }
    };
    let pulse = Arc::clone(&line.pulse);
    let visits = Visits {
        site: Arc::clone(&setting.site),
        conn: line.id,
        peer: line.peer,
        tls: line.tls,
        pulse: Arc::clone(&pulse),
        bytes_out: setting.metrics.bytes_out(),
    };
    let io = Inflow::new(line.io, prefix, protocol, Arc::clone(&pulse));
    match protocol {
        Protocol::Http1 => {
            let lane = pin!(Lane::new(io, http1_builder(limits), visits));
            drive(lane, protocol, &pulse, limits, stop).await
        }
        Protocol::Http2 => {
            let io = TokioIo::new(io);
            let executor = Tracked(setting.tracker.clone());
            // On the heap: most connections are HTTP/1.1 and need not be as large.
            let mut conn = Box::pin(http2_builder(limits, executor).serve_connection(io, visits));
            drive(conn.as_mut(), protocol, &pulse, limits, stop).await
        }
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The watchdog times heads, since it knows a connection at rest from a slow one.
        .header_read_timeout(None)
        .max_header_size(limits.request_head_bytes_max + limits.request_line_bytes_max)
        .max_buf_size(H1_WRITE_BYTES);
    if limits.request_headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(limits.request_headers_max);
    }
    builder
}

/// The library's own ceiling; naming it again would cost an allocation for each request.
const HYPER_HEADERS_MAX: usize = 100;

fn http2_builder(limits: &Limits, executor: Tracked) -> http2::Builder<Tracked> {
    let mut builder = http2::Builder::new(executor);
    let header_list_max = u32::try_from(limits.request_head_bytes_max).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .max_header_list_size(header_list_max)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_ERROR_RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_ANSWER_MAX);
    builder
}

impl From<hyper::Result<()>> for Ended {
    fn from(served: hyper::Result<()>) -> Self {
        served.map_or_else(Self::Broken, |()| Self::Done)
    }
}

/// A connection of the HTTP library, whichever the protocol.
trait Connection: Future<Output: Into<Ended>> {
    /// Answers what has begun and takes nothing new.
    fn finish(self: Pin<&mut Self>);
}

impl<S, H> Connection for Lane<S, H>
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.get_mut().finish();
    }
}

impl<S, H> Connection for http2::Connection<TokioIo<Inflow<S>>, Visits<H>, Tracked>
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn drive(
    mut conn: Pin<&mut impl Connection>,
    protocol: Protocol,
    pulse: &Pulse,
    limits: &Limits,
    stop: &CancellationToken,
) -> Ended {
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let mut watchdog = Watchdog::new(protocol, limits);
    poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            watchdog.drain_within(limits.drain_grace);
            conn.as_mut().finish();
        }
        match conn.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.into()),
            Poll::Pending => watchdog.poll(cx, pulse).map(Ended::Cut),
        }
    })
    .await
}

/// Streams of HTTP/2 run as tasks that the application counts.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
