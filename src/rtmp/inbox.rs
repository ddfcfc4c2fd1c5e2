//! What a connection has read and not yet used. Between two reads that is a few bytes at most, so
//! the buffer to read into belongs to the thread and not to the connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

thread_local! {
    /// The buffer of this thread, unless a connection has it.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// The unused bytes of one connection.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: BytesMut,
    /// They lie in the buffer of a thread.
    is_lent: bool,
}

impl Inbox {
    /// `bytes` came before.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), is_lent: false }
    }

    /// To be used from the front.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Waits for bytes, takes at most so many, and answers how many came; none at the end. While
    /// it waits, no more is kept than was left unused. Cancel-safe.
    pub(super) async fn read<R>(&mut self, reader: &mut R, bytes_max: usize) -> io::Result<usize>
    where
        R: AsyncRead + Unpin,
    {
        self.give_back();
        poll_fn(|cx| {
            let mut buffer = SPARE.take();
            buffer.clear();
            buffer.reserve(self.bytes.len() + bytes_max);
            buffer.extend_from_slice(&self.bytes);
            let read = poll_read(reader, &mut buffer, bytes_max, cx);
            if read.is_pending() {
                SPARE.set(buffer);
            } else {
                (self.bytes, self.is_lent) = (buffer, true);
            }
            read
        })
        .await
    }

    /// Moves what is left out of the buffer of a thread, for whoever does something else first. It
    /// goes to the thread that runs this, which may be another one.
    pub(super) fn give_back(&mut self) {
        if std::mem::take(&mut self.is_lent) {
            let left = BytesMut::from(self.bytes.as_ref());
            SPARE.set(std::mem::replace(&mut self.bytes, left));
        }
    }
}

fn poll_read<R>(
    reader: &mut R,
    buffer: &mut BytesMut,
    bytes_max: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>>
where
    R: AsyncRead + Unpin,
{
    let mut room = buffer.limit(bytes_max);
    pin!(reader.read_buf(&mut room)).poll(cx)
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_left_stays_in_front() {
        let (mut peer, mut stream) = duplex(100);
        let mut inbox = Inbox::new(b"ab");
        peer.write_all(b"cdefgh").await.unwrap();
        assert_eq!(inbox.read(&mut stream, 4).await.unwrap(), 4);
        assert_eq!(inbox.bytes(), "abcdef");
        inbox.bytes().advance(5);
        assert_eq!(inbox.read(&mut stream, 4).await.unwrap(), 2);
        assert_eq!(inbox.bytes(), "fgh");
        inbox.give_back();
        assert_eq!((inbox.bytes.as_ref(), inbox.bytes.capacity()), (b"fgh".as_slice(), 3));
        drop(peer);
        assert_eq!(inbox.read(&mut stream, 4).await.unwrap(), 0);
        assert_eq!(inbox.bytes(), "fgh", "the end takes nothing away");
    }

    #[tokio::test]
    async fn connections_of_a_thread_share_one_buffer_and_no_bytes() {
        const MOST: usize = 10_000;
        let mut conns: Vec<_> = (0..3).map(|_| (duplex(100), Inbox::new(&[]))).collect();
        for round in 0..20_u8 {
            for (number, ((peer, stream), inbox)) in (0_u8..).zip(&mut conns) {
                tokio::select! {
                    biased;
                    read = inbox.read(stream, MOST) => panic!("nothing was sent: {read:?}"),
                    () = std::future::ready(()) => {}
                }
                assert!(inbox.bytes.capacity() < 10, "{} kept", inbox.bytes.capacity());
                peer.write_all(&[number, round, number]).await.unwrap();
            }
            for ((_, stream), inbox) in &mut conns {
                assert_eq!(inbox.read(stream, MOST).await.unwrap(), 3);
            }
            // All have bytes at the same time, and leave one of them for later.
            for (number, (_, inbox)) in (0_u8..).zip(&mut conns) {
                let left = inbox.bytes.len() - 3;
                assert!(inbox.bytes[..left].iter().all(|&byte| byte == number));
                assert_eq!(inbox.bytes[left..], [number, round, number]);
                inbox.bytes().advance(left + 2);
            }
        }
    }
}
