use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use hyper::header::{self, HeaderName};
use hyper::http::response::Parts;
use tokio::io::AsyncWrite;

use super::answer::Response;
use super::body::PartBody;
use crate::base::{Clock, SystemClock};

/// Room for the head of a usual answer.
const HEAD_BYTES_USUAL: usize = 1024;

/// The answer to a plain GET of HTTP/1.1 on its way to the socket, written as the library would
/// write it but without one: thousands of requests are held for the same part, and for each the
/// library would have to be built only to be put away again.
#[derive(Debug)]
pub(super) struct Reply {
    /// What the socket has not taken of the head, and of the chunk behind it.
    head: Bytes,
    chunk: Bytes,
    body: PartBody,
    is_last: bool,
}

impl Reply {
    /// `is_last`: nothing is answered on this connection afterwards.
    pub(super) fn new(response: Response, is_last: bool) -> Self {
        let (parts, body) = response.into_parts();
        let closes = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        let is_last = is_last || parts.headers.get_all(header::CONNECTION).iter().any(closes);
        let body = if carries_body(parts.status) { body } else { PartBody::empty() };
        let head = write_head(&parts, body.remaining(), is_last);
        Self { head: head.into(), chunk: Bytes::new(), body, is_last }
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Writes as much as `io` takes. Ready when that was all.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.chunk.is_empty() {
                self.chunk = self.body.take_chunk().unwrap_or_default();
            }
            if self.head.is_empty() && self.chunk.is_empty() {
                return Pin::new(io).poll_flush(cx);
            }
            let slices = [IoSlice::new(&self.head), IoSlice::new(&self.chunk)];
            let count = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = count.min(self.head.len());
            self.head.advance(of_head);
            self.chunk.advance(count - of_head);
        }
    }
}

/// RFC 9110, 6.4.1.
fn carries_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Status line and fields (RFC 9112, 4 and 5), with the framing that belongs to the connection and
/// not to whoever answers.
fn write_head(parts: &Parts, length: u64, is_last: bool) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES_USUAL);
    let reason = parts.status.canonical_reason().unwrap_or("");
    for text in ["HTTP/1.1 ", parts.status.as_str(), " ", reason, "\r\n"] {
        head.extend_from_slice(text.as_bytes());
    }
    let framing = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    for (name, value) in parts.headers.iter().filter(|(name, _)| !framing.contains(name)) {
        write_field(&mut head, name, value.as_bytes());
    }
    if is_last {
        write_field(&mut head, &header::CONNECTION, b"close");
    }
    if carries_body(parts.status) {
        write_field(&mut head, &header::CONTENT_LENGTH, length.to_string().as_bytes());
    }
    DATE.with_borrow_mut(|date| write_field(&mut head, &header::DATE, date.now().as_bytes()));
    head.extend_from_slice(b"\r\n");
    head
}

fn write_field(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for text in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(text);
    }
}

thread_local! {
    static DATE: RefCell<Date> = RefCell::default();
}

/// The text of the `Date` field, written once for each second.
#[derive(Debug, Default)]
struct Date {
    clock: SystemClock,
    second: i64,
    text: String,
}

impl Date {
    fn now(&mut self) -> &str {
        let now = self.clock.now().wall;
        if self.text.is_empty() || now.unix_secs() != self.second {
            self.second = now.unix_secs();
            self.text = now.to_imf_fixdate().unwrap_or_default();
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// Takes so many bytes at a time, and waits before each.
    struct Narrow {
        width: usize,
        waits: bool,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.waits = !self.waits;
            if self.waits {
                return Poll::Pending;
            }
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn response() -> Response {
        let chunks = ["", "ab", "", "cdefg", "h"].map(|text| Bytes::from_static(text.as_bytes()));
        let mut response = Response::new(PartBody::list(chunks.into()));
        response.headers_mut().insert("etag", HeaderValue::from_static("\"x\""));
        response
    }

    /// Everything `reply` writes to an end that takes `width` bytes at a time.
    fn written(mut reply: Reply, width: usize) -> io::Result<String> {
        let mut io = Narrow { width, waits: false, taken: Vec::new() };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(done) = reply.poll_write(&mut io, &mut cx) {
                return done.map(|()| String::from_utf8(io.taken).unwrap());
            }
        }
    }

    /// Wherever the socket stops taking bytes, all of them come, once and in order.
    #[test]
    fn an_answer_may_be_cut_anywhere() {
        let date = DATE.with_borrow_mut(|date| date.now().to_owned());
        for width in 1..200 {
            let said = written(Reply::new(response(), false), width).unwrap();
            let (before, rest) = said.split_once("date: ").unwrap();
            assert_eq!(before, "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 8\r\n");
            assert_eq!(rest.len(), date.len() + 12, "{rest:?}");
            assert!(rest.ends_with(" GMT\r\n\r\nabcdefgh"), "{rest:?}");
        }
    }

    /// How an answer is framed is not the business of whoever answers (RFC 9112, 6 and 9.6).
    #[test]
    fn the_framing_is_the_connections() {
        let mut answer = response();
        answer.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        answer.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
        let said = written(Reply::new(answer, true), 9_999).unwrap();
        assert!(said.contains("\r\nconnection: close\r\ncontent-length: 8\r\n"), "{said}");
        assert!(!said.contains("chunked"), "{said}");

        let mut answer = response();
        answer.headers_mut().insert("connection", HeaderValue::from_static("close"));
        assert!(Reply::new(answer, false).is_last());

        let mut answer = response();
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        let said = written(Reply::new(answer, false), 9_999).unwrap();
        assert!(said.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{said}");
        assert!(said.ends_with(" GMT\r\n\r\n") && !said.contains("length"), "{said}");
    }

    #[test]
    fn an_end_that_takes_nothing_is_an_error() {
        let err = written(Reply::new(response(), false), 0).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WriteZero);
    }
}
