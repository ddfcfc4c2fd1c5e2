//! How many bytes must have arrived before a connection wakes for them. Most messages of an
//! encoder are small sound that no part is cut on, and a picture is of no use before its last
//! byte: waking for each piece would cost more than all that is done with it.

use std::fmt;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, setsockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Never waited for more, or the kernel would have to keep more than it likes to.
const BYTES_MAX: usize = 64 * 1024;
/// Beside pictures, so much sound may wait for the next one: two frames of it at 320 kbit/s.
const SOUND_BYTES_MAX: usize = 2 * 1024;

nix::setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    libc::c_int,
    nix::sys::socket::sockopt::SetStruct<'_, libc::c_int>
);

/// `SO_RCVLOWAT` of socket(7).
#[derive(Clone, Copy, Debug)]
struct ReceiveLowWater;

/// The wish of a connection, read by its [`Socket`]. One that no socket reads does nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct LowWater(Option<Arc<AtomicUsize>>);

impl LowWater {
    pub(super) fn of_socket() -> Self {
        Self(Some(Arc::default()))
    }

    pub(super) fn is_read(&self) -> bool {
        self.0.is_some()
    }

    /// From the next read on. Less than what is there already wakes at once.
    pub(super) fn set(&self, bytes: usize) {
        if let Some(wish) = &self.0 {
            wish.store(bytes.clamp(1, BYTES_MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> usize {
        self.0.as_ref().map_or(1, |wish| wish.load(Ordering::Relaxed).max(1))
    }
}

/// A socket that wakes its reader only when the bytes wished for are there, at the end of the
/// stream, or on an error.
pub(super) struct Socket {
    stream: TcpStream,
    low_water: LowWater,
    /// What the kernel was told.
    told: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, low_water: LowWater) -> Self {
        Self { stream, low_water, told: 1 }
    }
}

impl Socket {
    /// Reads without waiting; nothing where nothing is there.
    fn read_now(&self, out: &mut ReadBuf<'_>) -> Option<std::io::Result<()>> {
        match recv(self.stream.as_raw_fd(), out.initialize_unfilled(), MsgFlags::MSG_DONTWAIT) {
            Ok(bytes) => {
                out.advance(bytes);
                Some(Ok(()))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let wanted = self.low_water.get();
        if wanted != self.told {
            // What is there already is read now: to be woken for it would take a round through
            // the kernel.
            let read = (wanted < self.told).then(|| self.read_now(out)).flatten();
            self.told = wanted;
            let bytes = libc::c_int::try_from(wanted).unwrap_or(libc::c_int::MAX);
            // A kernel that knows no such option wakes us more often.
            let _ = setsockopt(&self.stream, ReceiveLowWater, &bytes);
            if let Some(read) = read {
                return Poll::Ready(read);
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, out)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("told", &self.told).finish_non_exhaustive()
    }
}

/// What a publisher's messages are like, and so how many bytes are worth waking for.
#[derive(Debug, Default)]
pub(super) struct Appetite {
    /// About the smallest of the recent pictures: down at once, up by an eighth with each picture.
    small_picture_bytes: usize,
}

impl Appetite {
    /// Takes the body of a video message: pictures count, a configuration or an end does not (FLV
    /// E.4.3.1; Enhanced RTMP v2, "Extended VideoTagHeader").
    pub(super) fn note_video(&mut self, body: &[u8]) {
        let coded = match body {
            [first, ..] if first & 0x80 != 0 => matches!(first & 0x0f, 1 | 3),
            [first, kind, ..] => first & 0x0f != 7 || *kind == 1,
            _ => false,
        };
        if coded {
            self.note_picture(body.len());
        }
    }

    fn note_picture(&mut self, bytes: usize) {
        let grown = self.small_picture_bytes + self.small_picture_bytes / 8 + 1;
        let first = self.small_picture_bytes == 0;
        self.small_picture_bytes = if first { bytes } else { bytes.min(grown) };
    }

    /// `missing`: of the message that is being read. Between messages half a small picture is
    /// enough, and no more than a little sound may wait for one.
    pub(super) fn bytes(&self, missing: Option<usize>) -> usize {
        missing.unwrap_or_else(|| SOUND_BYTES_MAX.min(self.small_picture_bytes / 2))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time;

    use super::*;

    #[test]
    fn the_rest_of_a_message_is_waited_for() {
        assert_eq!(Appetite::default().bytes(Some(9_000)), 9_000);
    }

    #[test]
    fn sound_alone_is_read_as_it_comes() {
        assert_eq!(Appetite::default().bytes(None), 0);
    }

    #[test]
    fn pictures_are_always_worth_it_and_little_sound_is_not() {
        let mut appetite = Appetite::default();
        for bytes in [60_000, 9_000, 12_000, 8_000] {
            appetite.note_picture(bytes);
            assert!(appetite.bytes(None) <= bytes / 2);
        }
        assert_eq!(appetite.bytes(None), SOUND_BYTES_MAX);
        // A still scene: the very next picture counts.
        appetite.note_picture(300);
        assert_eq!(appetite.bytes(None), 150);
        for _ in 0..40 {
            appetite.note_picture(9_000);
        }
        assert_eq!(appetite.bytes(None), SOUND_BYTES_MAX);
    }

    #[test]
    fn a_configuration_is_no_picture() {
        let mut appetite = Appetite::default();
        appetite.note_video(&[0x17; 9_000]);
        appetite.note_video(&[[0x17, 1].as_slice(), &[0; 9_000]].concat());
        for other in [&[0x17, 0, 0, 0, 0, 1][..], &[0x17, 2, 0, 0, 0], &[0x90, 0], &[0x12], &[]] {
            appetite.note_video(other);
            assert_eq!(appetite.bytes(None), SOUND_BYTES_MAX, "{other:?}");
        }
        appetite.note_video(&[0xa1, b'h', b'v', b'c', b'1', 0, 0, 0]);
        assert_eq!(appetite.bytes(None), 4);
    }

    #[tokio::test]
    async fn a_socket_wakes_when_enough_is_there_or_the_wish_is_lowered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let low_water = LowWater::of_socket();
        let mut socket = Socket::new(listener.accept().await.unwrap().0, low_water.clone());
        let mut bytes = [0; 100];
        low_water.set(10);
        // Registers the wish.
        let nothing = time::timeout(Duration::from_millis(1), socket.read(&mut bytes)).await;
        assert!(nothing.is_err());
        peer.write_all(&[7; 6]).await.unwrap();
        let early = time::timeout(Duration::from_millis(50), socket.read(&mut bytes)).await;
        assert!(early.is_err(), "six bytes are not worth it");
        peer.write_all(&[7; 4]).await.unwrap();
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 10);

        peer.write_all(&[7; 3]).await.unwrap();
        let early = time::timeout(Duration::from_millis(50), socket.read(&mut bytes)).await;
        assert!(early.is_err());
        low_water.set(1);
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 3);

        low_water.set(10);
        peer.write_all(&[7; 2]).await.unwrap();
        drop(peer);
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 2, "an end wakes");
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 0);
    }
}
