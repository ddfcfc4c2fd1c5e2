use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{Answering, Response, Site, Visits};
use super::conn::Ended;
use super::reply::Reply;
use super::wire::{Inflow, READ_BYTES_MAX};

/// A connection of HTTP/1.1. What the library keeps of one is two buffers of 8 KiB and more, and
/// most connections wait most of the time: for their next request, or for media to come. So the
/// library is there only while it reads a request or writes what it read about; a connection that
/// waits is its socket and, perhaps, the one request it has held. The answer to that one leaves
/// without the library, which has forgotten the request.
pub(super) struct Lane<S, H: Site> {
    state: State<S, H>,
    builder: http1::Builder,
    turns: Arc<Turns<H>>,
    stopping: bool,
}

/// The library at work.
type Work<S, H> = http1::Connection<TokioIo<Inflow<S>>, Arc<Turns<H>>>;

enum State<S, H: Site> {
    Working(Box<Work<S, H>>),
    Resting(Rest<S>),
    /// The held request has its answer.
    Replying(Rest<S>, Box<Reply>),
    /// Nothing is to come: the peer is told so, which with encryption takes a word of its own
    /// (RFC 8446, 6.1).
    Leaving(Inflow<S>),
    Over,
}

/// A connection that waits.
struct Rest<S> {
    io: Inflow<S>,
    /// Read already; as long as a request is held, it lies behind that.
    ahead: Bytes,
    held: Option<Answering>,
}

/// What ends a rest.
enum Wake {
    /// There is something to read.
    Request,
    /// The held request has its answer.
    Answer(Box<Response>),
    /// The peer left.
    Gone,
    /// The connection broke.
    Broken(io::Error),
}

impl<S, H> Lane<S, H>
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    pub(super) fn new(io: Inflow<S>, builder: http1::Builder, visits: Visits<H>) -> Self {
        let turns = Arc::new(Turns { visits, held: Mutex::default() });
        let rest = Rest { io, ahead: Bytes::new(), held: None };
        Self { state: State::Resting(rest), builder, turns, stopping: false }
    }

    /// Answers what has begun and takes nothing new.
    pub(super) fn finish(&mut self) {
        self.stopping = true;
        if let State::Working(conn) = &mut self.state {
            Pin::new(conn.as_mut()).graceful_shutdown();
        }
    }

    /// Puts the library away. Nothing is lost: it has parsed all that it can, and the pulse or a
    /// held request says that nothing it wrote is left.
    fn rest(conn: Work<S, H>, held: Option<Answering>) -> Rest<S> {
        let parts = conn.into_parts();
        // A copy, since the library's buffer is large.
        let ahead = Bytes::copy_from_slice(&parts.read_buf);
        Rest { io: parts.io.into_inner(), ahead, held }
    }

    /// Hands the library a connection that has something to read.
    fn work(&self, rest: Rest<S>) -> State<S, H> {
        let Rest { mut io, ahead, .. } = rest;
        io.set_prefix(ahead);
        let conn = self.builder.serve_connection(TokioIo::new(io), Arc::clone(&self.turns));
        State::Working(Box::new(conn))
    }
}

impl<S, H> Future for Lane<S, H>
where
    H: Site,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            this.state = match std::mem::replace(&mut this.state, State::Over) {
                State::Working(mut conn) => {
                    if let Poll::Ready(ended) = Pin::new(conn.as_mut()).poll(cx) {
                        return Poll::Ready(ended.into());
                    }
                    let held = this.turns.held().take();
                    if held.is_none() && !this.turns.visits.pulse.is_resting() {
                        this.state = State::Working(conn);
                        return Poll::Pending;
                    }
                    let rest = Self::rest(*conn, held);
                    if rest.held.is_none() && !rest.ahead.is_empty() {
                        // The library has answered as many requests as it does at once; before
                        // the next ones the other connections get their turn.
                        cx.waker().wake_by_ref();
                        this.state = State::Resting(rest);
                        return Poll::Pending;
                    }
                    State::Resting(rest)
                }
                State::Resting(rest) if this.stopping && rest.held.is_none() => {
                    State::Leaving(rest.io)
                }
                State::Resting(mut rest) => {
                    let Poll::Ready(wake) = rest.poll(cx) else {
                        this.state = State::Resting(rest);
                        return Poll::Pending;
                    };
                    match wake {
                        Wake::Gone => State::Leaving(rest.io),
                        Wake::Broken(err) => return Poll::Ready(Ended::Lost(err)),
                        Wake::Request => this.work(rest),
                        Wake::Answer(answer) => {
                            let reply = Reply::new(*answer, this.stopping);
                            State::Replying(rest, Box::new(reply))
                        }
                    }
                }
                State::Replying(mut rest, mut reply) => match reply.poll_write(&mut rest.io, cx) {
                    Poll::Ready(Ok(())) if reply.is_last() => State::Leaving(rest.io),
                    Poll::Ready(Ok(())) => State::Resting(rest),
                    Poll::Ready(Err(err)) => return Poll::Ready(Ended::Lost(err)),
                    Poll::Pending => {
                        this.state = State::Replying(rest, reply);
                        return Poll::Pending;
                    }
                },
                State::Leaving(mut io) => {
                    // Whoever cannot be told has left already.
                    if Pin::new(&mut io).poll_shutdown(cx).is_pending() {
                        this.state = State::Leaving(io);
                        return Poll::Pending;
                    }
                    return Poll::Ready(Ended::Done);
                }
                State::Over => return Poll::Ready(Ended::Done),
            };
        }
    }
}

impl<S: AsyncRead + Unpin> Rest<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Some(held) = &mut self.held {
            if let Poll::Ready(Ok(answer)) = Pin::new(held).poll(cx) {
                self.held = None;
                return Poll::Ready(Wake::Answer(Box::new(answer)));
            }
        } else if !self.ahead.is_empty() {
            return Poll::Ready(Wake::Request);
        }
        // Whoever sends more while a request is held waits until it is answered. Otherwise the
        // socket is read, also to hear that the peer left.
        if self.ahead.is_empty() {
            if let Err(err) = ready!(self.poll_read(cx)) {
                return Poll::Ready(Wake::Broken(err));
            }
            if self.ahead.is_empty() {
                return Poll::Ready(Wake::Gone);
            }
            if self.held.is_none() {
                return Poll::Ready(Wake::Request);
            }
        }
        Poll::Pending
    }

    /// Reads ahead; nothing where the connection has ended.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [std::mem::MaybeUninit::uninit(); READ_BYTES_MAX];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        self.ahead = Bytes::copy_from_slice(buf.filled());
        Poll::Ready(Ok(()))
    }
}

/// The requests of one connection, and the one that passes from the library to its rest.
pub(super) struct Turns<H> {
    visits: Visits<H>,
    held: Mutex<Option<Answering>>,
}

impl<H> Turns<H> {
    fn held(&self) -> MutexGuard<'_, Option<Answering>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Site, B: Body> Service<Request<B>> for Turns<H> {
    type Response = Response;
    type Error = Infallible;
    type Future = Turn;

    fn call(&self, request: Request<B>) -> Turn {
        let plain = is_plain(&request);
        let answering = self.visits.call(request);
        if plain && answering.is_held() {
            *self.held() = Some(answering);
            return Turn::Elsewhere;
        }
        Turn::Answering(answering)
    }
}

/// Whether the answer to a request is framed as every other one, whatever else it says.
fn is_plain<B>(request: &Request<B>) -> bool {
    let persists = |field: &HeaderValue| field.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.headers().get_all(header::CONNECTION).iter().all(persists)
}

/// One request as the library sees it.
pub(super) enum Turn {
    Answering(Answering),
    /// It is held: the connection rests before anybody asks again.
    Elsewhere,
}

impl Future for Turn {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Answering(answering) => Pin::new(answering).poll(cx),
            Self::Elsewhere => Poll::Pending,
        }
    }
}
