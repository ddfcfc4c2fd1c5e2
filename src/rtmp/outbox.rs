//! The sending side of a connection: bounded, and with an end to waiting.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::status::Cause;
use crate::base::{Limits, MonoTime};

/// Bytes on their way to a peer. We have little to say, so a peer that lets them pile up does not
/// read at all.
#[derive(Debug)]
pub(super) struct Outbox<W> {
    writer: W,
    pending: BytesMut,
    /// Written, but perhaps still inside a TLS session.
    unflushed: bool,
    /// When the peer last took something, or the first byte came to wait.
    moved: MonoTime,
    bytes_max: usize,
    stall_max: Duration,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub(super) fn new(writer: W, limits: &Limits) -> Self {
        Self {
            writer,
            pending: BytesMut::new(),
            unflushed: false,
            moved: MonoTime::ZERO,
            bytes_max: limits.rtmp_send_bytes_max,
            stall_max: limits.send_stall_max,
        }
    }

    /// Queues bytes; more than the peer may leave unread ends it.
    pub(super) fn push(&mut self, bytes: &[u8], now: MonoTime) -> Result<(), Cause> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            self.moved = now;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > self.bytes_max { Err(Cause::WriteStalled) } else { Ok(()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && !self.unflushed
    }

    /// Sends some of what is queued. Cancel-safe: what was not sent stays queued.
    pub(super) async fn send_some(&mut self) -> io::Result<()> {
        if self.pending.has_remaining() {
            let sent = self.writer.write_buf(&mut self.pending).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unflushed = true;
            return Ok(());
        }
        self.writer.flush().await?;
        self.unflushed = false;
        Ok(())
    }

    /// To be called after each successful [`Outbox::send_some`].
    pub(super) fn note_moved(&mut self, now: MonoTime) {
        self.moved = now;
    }

    /// When the peer must have taken something.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        (!self.is_empty()).then_some(self.moved + self.stall_max)
    }

    /// Sends everything and closes this direction. May be dropped; then some of it is not sent.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        while !self.is_empty() {
            self.send_some().await?;
        }
        self.writer.shutdown().await
    }
}
