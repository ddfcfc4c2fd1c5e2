use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{self, Instant};

use super::{ClientError, MediaKind, Publisher, Step, Target};
use crate::base::{Clock, Limits};

/// A server says little; this is what one read takes.
const READ_BYTES: usize = 4_096;
/// How often a publisher that waits for an answer looks at the clock.
const TICK: Duration = Duration::from_millis(250);

/// One [`Publisher`] on one TCP connection. While it writes or waits it also reads, so a refusal
/// or an end by the server is heard at once.
#[derive(Debug)]
pub struct Link {
    publisher: Publisher,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    input: BytesMut,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Link {
    /// Connects and publishes; returns when the server has agreed. May be dropped half-way: the
    /// connection closes.
    pub async fn open(
        target: Target,
        limits: &Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let socket = connect(&target, limits.connect_time_max).await?;
        let (reader, writer) = socket.into_split();
        let publisher = Publisher::new(target, limits, clock.now().mono);
        let input = BytesMut::with_capacity(READ_BYTES);
        let mut link = Self { publisher, reader, writer, input, clock, limits: limits.clone() };
        while link.publisher.step() != Step::Live {
            link.flush().await?;
            link.read_until(Instant::now() + TICK).await?;
            link.publisher.handle_tick(link.clock.now().mono)?;
        }
        Ok(link)
    }

    /// Sends one message of media; returns when the socket has taken it. A server that takes
    /// nothing for [`Limits::send_stall_max`] is an error. Not safe to drop half-way: what comes
    /// after would be cut from its beginning.
    pub async fn write(
        &mut self,
        kind: MediaKind,
        timestamp: u32,
        body: Bytes,
    ) -> Result<(), ClientError> {
        self.publisher.write(kind, timestamp, body)?;
        self.flush().await
    }

    /// Listens to the server until `deadline`. May be dropped half-way.
    pub async fn listen_until(&mut self, deadline: Instant) -> Result<(), ClientError> {
        while self.read_until(deadline).await? {
            self.flush().await?;
        }
        Ok(())
    }

    /// Says goodbye and waits until the server has closed too, at most [`Limits::linger_max`].
    pub async fn finish(mut self) -> Result<(), ClientError> {
        self.publisher.finish(self.clock.now().mono)?;
        self.flush().await?;
        let half_closed = self.writer.shutdown().await;
        half_closed.map_err(|cause| ClientError::Broken { step: Step::Finished, cause })?;
        let deadline = Instant::now() + self.limits.linger_max;
        // What it still says changes nothing, nor does how it leaves.
        while let Ok(true) = self.read_until(deadline).await {}
        Ok(())
    }

    /// Reads once. `false`: the deadline came first.
    async fn read_until(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        self.input.reserve(READ_BYTES);
        tokio::select! {
            biased;
            read = self.reader.read_buf(&mut self.input) => self.take_read(read).map(|()| true),
            () = time::sleep_until(deadline) => Ok(false),
        }
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        while let Some(mut bytes) = self.publisher.next_output() {
            let mut deadline = Instant::now() + self.limits.send_stall_max;
            while bytes.has_remaining() {
                self.input.reserve(READ_BYTES);
                tokio::select! {
                    biased;
                    read = self.reader.read_buf(&mut self.input) => self.take_read(read)?,
                    wrote = self.writer.write_buf(&mut bytes) => match wrote {
                        Ok(_) => deadline = Instant::now() + self.limits.send_stall_max,
                        Err(cause) => return Err(self.explain(cause).await),
                    },
                    () = time::sleep_until(deadline) => {
                        return Err(ClientError::Stalled { after: self.limits.send_stall_max });
                    }
                }
            }
        }
        Ok(())
    }

    fn take_read(&mut self, read: io::Result<usize>) -> Result<(), ClientError> {
        let step = self.publisher.step();
        match read {
            Ok(0) => Err(ClientError::Closed { step }),
            Ok(_) => self.publisher.handle_bytes(&self.input.split(), self.clock.now().mono),
            Err(cause) => Err(ClientError::Broken { step, cause }),
        }
    }

    /// A server that refuses writes why and then closes. When our write fails first, its words
    /// may still be in the receive buffer, and they say more than the broken pipe.
    async fn explain(&mut self, cause: io::Error) -> ClientError {
        let step = self.publisher.step();
        let deadline = Instant::now() + TICK;
        loop {
            match self.read_until(deadline).await {
                Ok(true) => {}
                Err(said @ (ClientError::Refused { .. } | ClientError::Ended { .. })) => {
                    return said;
                }
                Ok(false) | Err(_) => return ClientError::Broken { step, cause },
            }
        }
    }
}

async fn connect(target: &Target, after: Duration) -> Result<TcpStream, ClientError> {
    let address = (target.host.as_str(), target.port);
    let unreachable = |cause| ClientError::Unreachable { authority: target.authority(), cause };
    let connected = time::timeout(after, TcpStream::connect(address)).await;
    let socket = connected
        .map_err(|_| unreachable(io::Error::from(io::ErrorKind::TimedOut)))?
        .map_err(unreachable)?;
    // Frames are whole messages; waiting to fill a packet would only delay them.
    socket.set_nodelay(true).map_err(unreachable)?;
    Ok(socket)
}
