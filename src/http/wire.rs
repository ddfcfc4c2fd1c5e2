use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::watchdog::{Protocol, Pulse};

/// The first bytes of every HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most that one read takes from a connection. The library doubles its buffer whenever a read fills
/// it, so that somebody who sends request after request without waiting could make it large.
pub(super) const READ_BYTES_MAX: usize = 4 * 1024;

/// Reads just enough to tell HTTP/2 with prior knowledge from HTTP/1.1, and answers the bytes that
/// it took, to be read again. Not safe to drop half-way except together with the connection.
pub(super) async fn sniff<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<(Protocol, Bytes)> {
    let mut bytes = [0; PREFACE.len()];
    let mut length = 0;
    loop {
        let (read, rest) = bytes.split_at_mut(length);
        if !PREFACE.starts_with(read) {
            return Ok((Protocol::Http1, Bytes::copy_from_slice(read)));
        }
        if rest.is_empty() {
            return Ok((Protocol::Http2, Bytes::from_static(PREFACE)));
        }
        match io.read(rest).await? {
            0 => return Ok((Protocol::Http1, Bytes::copy_from_slice(read))),
            count => length += count,
        }
    }
}

/// A connection with somebody listening to what passes.
#[derive(Debug)]
pub(super) struct Tapped<S, T> {
    io: S,
    tap: T,
}

/// What a tap may hear, and say before the connection does.
trait Tap {
    /// Bytes to be read before any of the connection.
    fn read_first(&mut self, _: &mut ReadBuf<'_>) {}

    /// These have just been read.
    fn hear_read(&mut self, _: &[u8]) {}

    /// This came of a write.
    fn hear_write(&mut self, _: &Poll<io::Result<usize>>) {}
}

/// The connection as the HTTP library sees it: the prefix again, then the rest, with a look at
/// every byte of HTTP/1.1.
pub(super) type Inflow<S> = Tapped<S, Heads>;

/// The socket itself, below any encryption: it tells the watchdog how much the peer takes and
/// whether a write waits for it.
pub(super) type Outflow<S> = Tapped<S, Sending>;

/// The library takes a bare line feed for the end of a line, as RFC 9112 (2.2) lets it; a proxy
/// before us may not, and then the two see different requests. Since no route takes a body, all
/// that a peer sends are heads, and any bare line feed among them is noted.
#[derive(Debug)]
pub(super) struct Heads {
    /// Read before, and to be read again.
    prefix: Bytes,
    protocol: Protocol,
    after_return: bool,
    pulse: Arc<Pulse>,
}

#[derive(Debug)]
pub(super) struct Sending(Arc<Pulse>);

impl<S> Inflow<S> {
    pub(super) fn new(io: S, prefix: Bytes, protocol: Protocol, pulse: Arc<Pulse>) -> Self {
        Self { io, tap: Heads { prefix, protocol, after_return: false, pulse } }
    }

    /// What is to be read before any further byte of the connection.
    pub(super) fn set_prefix(&mut self, prefix: Bytes) {
        // What is left of an earlier one lies behind it.
        let left = std::mem::take(&mut self.tap.prefix);
        self.tap.prefix = if left.is_empty() { prefix } else { [prefix, left].concat().into() };
    }
}

impl<S> Outflow<S> {
    pub(super) fn new(io: S, pulse: Arc<Pulse>) -> Self {
        Self { io, tap: Sending(pulse) }
    }
}

impl Tap for Heads {
    fn read_first(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(count));
    }

    fn hear_read(&mut self, fresh: &[u8]) {
        if fresh.is_empty() || self.protocol == Protocol::Http2 {
            return;
        }
        self.pulse.set_head_begun();
        for &byte in fresh {
            if byte == b'\n' && !self.after_return {
                self.pulse.set_bare_line_feed();
            }
            self.after_return = byte == b'\r';
        }
    }
}

impl Tap for Sending {
    fn hear_write(&mut self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => self.0.add_sent(*count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.0.set_write_blocked(),
        }
    }
}

impl<S: AsyncRead + Unpin, T: Tap + Unpin> AsyncRead for Tapped<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        this.tap.read_first(buf);
        if 0 < buf.remaining() {
            // The rest of the head in the same read: a head in two pieces makes the library
            // double its buffer, for as long as the connection lives.
            match poll_piece(&mut this.io, cx, buf) {
                Poll::Ready(read) => read?,
                Poll::Pending if buf.filled().len() == before => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        this.tap.hear_read(buf.filled().get(before..).unwrap_or(&[]));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, T: Tap + Unpin> AsyncWrite for Tapped<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.tap.hear_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.tap.hear_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Reads no more than [`READ_BYTES_MAX`], however much there is room for.
fn poll_piece<S: AsyncRead + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if buf.remaining() <= READ_BYTES_MAX {
        return Pin::new(io).poll_read(cx, buf);
    }
    let mut piece = [MaybeUninit::uninit(); READ_BYTES_MAX];
    let mut piece = ReadBuf::uninit(&mut piece);
    let polled = Pin::new(io).poll_read(cx, &mut piece);
    buf.put_slice(piece.filled());
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sniffed(bytes: &[u8]) -> (Protocol, Vec<u8>, bool) {
        let mut io = bytes;
        let (protocol, prefix) = sniff(&mut io).await.unwrap();
        let pulse = Arc::new(Pulse::default());
        let mut inflow = Inflow::new(io, prefix, protocol, Arc::clone(&pulse));
        let mut seen = Vec::new();
        inflow.read_to_end(&mut seen).await.unwrap();
        (protocol, seen, pulse.has_bare_line_feed())
    }

    #[tokio::test]
    async fn the_preface_tells_the_protocol_and_is_read_again() {
        let mut h2 = PREFACE.to_vec();
        h2.extend_from_slice(b"\0\0\0\x04");
        assert_eq!(sniffed(&h2).await, (Protocol::Http2, h2.clone(), false));
        for head in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"P", b"", b"PRI * HTTP/1.1\r\n\r\n"] {
            assert_eq!(sniffed(head).await, (Protocol::Http1, head.to_vec(), false));
        }
    }

    /// A head that came in one piece is read in one piece, although its beginning was looked at.
    #[tokio::test]
    async fn the_prefix_and_the_rest_are_one_read() {
        let head = b"GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n";
        let mut io = &head[..];
        let (protocol, prefix) = sniff(&mut io).await.unwrap();
        let mut inflow = Inflow::new(io, prefix, protocol, Arc::default());
        let mut seen = [0; 1024];
        assert_eq!(inflow.read(&mut seen).await.unwrap(), head.len());
    }

    /// W14: a bare line feed is seen before any other reader could take it for an end.
    #[tokio::test]
    async fn a_bare_line_feed_is_seen() {
        for head in [&b"GET / HTTP/1.1\n\n"[..], b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", b"\n"] {
            assert!(sniffed(head).await.2, "{head:?}");
        }
    }

    #[tokio::test]
    async fn a_read_takes_little() {
        let waiting = vec![b'x'; 64 * 1024];
        let mut inflow = Inflow::new(&waiting[..], Bytes::new(), Protocol::Http1, Arc::default());
        let mut seen = vec![0; waiting.len()];
        assert_eq!(inflow.read(&mut seen).await.unwrap(), READ_BYTES_MAX);
    }
}
