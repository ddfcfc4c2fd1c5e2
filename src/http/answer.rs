use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::Body;
use hyper::service::Service;
use tracing::debug_span;

use super::body::{PartBody, Toll};
use super::metrics::BytesOut;
use super::watchdog::{Pulse, Unanswered};
use crate::base::ConnId;

pub(super) type Response = hyper::Response<PartBody>;

/// How a request goes on. Most are answered within the call and cost no future of their own; only
/// what waits for media to come is put on the heap.
pub(super) enum Answer {
    Now(Box<Response>),
    Held(Pin<Box<dyn Future<Output = Response> + Send>>),
}

/// Whoever answers the requests of a listener.
pub(super) trait Site: Send + Sync + 'static {
    /// Answers a request whose body nobody reads. Not blocking.
    fn answer(self: &Arc<Self>, request: &Request<()>, visit: &Visit) -> Answer;
}

/// What is known of a request besides its head.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) conn: ConnId,
    /// The other end of the connection; `None` for a pipe within the process.
    pub(super) peer: Option<IpAddr>,
    /// Number of the request on its connection, from 1.
    pub(super) number: u64,
    /// The request comes with a body.
    pub(super) has_body: bool,
    /// The connection is encrypted.
    pub(super) tls: bool,
    pub(super) pulse: Arc<Pulse>,
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Visits<H> {
    pub(super) site: Arc<H>,
    pub(super) conn: ConnId,
    pub(super) peer: Option<IpAddr>,
    pub(super) tls: bool,
    pub(super) pulse: Arc<Pulse>,
    /// Where bytes of bodies are counted.
    pub(super) bytes_out: BytesOut,
}

impl<H: Site, B: Body> Service<Request<B>> for Visits<H> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<B>) -> Answering {
        let unanswered = self.pulse.begin_request();
        let visit = Visit {
            conn: self.conn,
            peer: self.peer,
            number: self.pulse.requests(),
            has_body: !request.body().is_end_stream(),
            tls: self.tls,
            pulse: Arc::clone(&self.pulse),
        };
        let (head, _) = request.into_parts();
        let span = debug_span!("request", number = visit.number);
        let answer = span.in_scope(|| self.site.answer(&Request::from_parts(head, ()), &visit));
        Answering { answer: Some(answer), unanswered, bytes_out: self.bytes_out.clone() }
    }
}

/// One request on its way to its answer. Dropping it frees whatever it held.
pub(super) struct Answering {
    answer: Option<Answer>,
    unanswered: Unanswered,
    bytes_out: BytesOut,
}

impl Answering {
    /// The answer is not there yet.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.answer, Some(Answer::Held(_)))
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = match self.answer.take() {
            Some(Answer::Now(response)) => *response,
            Some(Answer::Held(mut future)) => match future.as_mut().poll(cx) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    self.answer = Some(Answer::Held(future));
                    return Poll::Pending;
                }
            },
            // Asked again after the answer, which no caller does.
            None => return Poll::Pending,
        };
        if 0 < response.body().remaining() {
            let owed = self.unanswered.owe();
            response.body_mut().set_toll(Toll { bytes_out: self.bytes_out.clone(), _owed: owed });
        }
        Poll::Ready(Ok(response))
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
