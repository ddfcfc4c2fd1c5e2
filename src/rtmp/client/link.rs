use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{self, Instant};

use super::{ClientError, MediaKind, Publisher, Step, Target};
use crate::base::{Clock, Limits};

/// A server says little; this is what one read takes.
const READ_BYTES: usize = 4_096;
/// How often a publisher that waits for an answer looks at the clock.
const TICK: Duration = Duration::from_millis(250);

/// One [`Publisher`] on one connection, by default of TCP. While it writes or waits it also reads, so a refusal
/// or an end by the server is heard at once.
#[derive(Debug)]
pub struct Link<R = OwnedReadHalf, W = OwnedWriteHalf> {
    publisher: Publisher,
    reader: R,
    writer: W,
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
        Self::start(target, reader, writer, limits, clock).await
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Link<R, W> {
    /// Publishes over a connection that stands.
    pub async fn start(
        target: Target,
        reader: R,
        writer: W,
        limits: &Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};

    use super::*;
    use crate::base::{MonoTime, Now, WallTime};
    use crate::rtmp::client::tests::{Server, on_status};

    type Pipe = Link<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

    /// Follows tokio's paused time.
    #[derive(Debug)]
    struct Paused(Instant);

    impl Clock for Paused {
        fn now(&self) -> Now {
            let mono = MonoTime::from_start(self.0.elapsed());
            Now { mono, wall: WallTime::from_unix_millis(0) }
        }
    }

    async fn link(ours: DuplexStream) -> Result<Pipe, ClientError> {
        let target = Target::parse("rtmp://h/live/hunter2").expect("an address");
        let (reader, writer) = split(ours);
        let clock = Arc::new(Paused(Instant::now()));
        Link::start(target, reader, writer, &Limits::default(), clock).await
    }

    /// Answers as the foreign server does until `until` is true, then gives the pipe back.
    async fn serve(
        mut theirs: DuplexStream,
        server: &Mutex<Server>,
        until: impl Fn(&Server) -> bool,
    ) -> DuplexStream {
        let mut input = BytesMut::new();
        loop {
            let answer = {
                let mut server = server.lock().expect("no panic");
                server.handle(&input.split());
                std::mem::take(&mut server.output)
            };
            theirs.write_all(&answer).await.expect("the other end reads");
            if until(&server.lock().expect("no panic")) {
                return theirs;
            }
            theirs.read_buf(&mut input).await.expect("the other end writes");
        }
    }

    /// A live link, and the server's end of the pipe.
    async fn live() -> (Pipe, DuplexStream) {
        let (ours, theirs) = duplex(8_192);
        let server = Mutex::new(Server::new());
        let (link, theirs) = tokio::join!(link(ours), serve(theirs, &server, Server::has_accepted));
        (link.expect("a willing server"), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_heard_while_waiting() {
        let (mut link, mut theirs) = live().await;
        let words = on_status("error", "NetStream.Publish.Denied", "closed");
        theirs.write_all(&words).await.expect("a pipe");
        let deadline = Instant::now() + Duration::from_secs(1);
        let error = link.listen_until(deadline).await.expect_err("ended");
        assert!(matches!(error, ClientError::Ended { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_heard_while_nothing_is_taken() {
        let (mut link, mut theirs) = live().await;
        let words = on_status("error", "NetStream.Publish.Denied", "closed");
        theirs.write_all(&words).await.expect("a pipe");
        let frame = Bytes::from(vec![0; 100_000]);
        let error = link.write(MediaKind::Video, 0, frame).await.expect_err("ended");
        assert!(matches!(error, ClientError::Ended { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_nothing_is_left() {
        let (mut link, _theirs) = live().await;
        let start = Instant::now();
        let frame = Bytes::from(vec![0; 100_000]);
        let error = link.write(MediaKind::Video, 0, frame).await.expect_err("stalled");
        assert!(matches!(error, ClientError::Stalled { .. }), "{error}");
        assert!(start.elapsed() >= Limits::default().send_stall_max);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_left() {
        let (ours, _theirs) = duplex(8_192);
        let error = link(ours).await.expect_err("late");
        assert!(matches!(error, ClientError::TimedOut { step: Step::Handshake, .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_leaves_is_named() {
        let (mut link, theirs) = live().await;
        drop(theirs);
        let error = link.listen_until(Instant::now()).await.expect_err("closed");
        assert!(matches!(error, ClientError::Closed { step: Step::Live }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_waits_for_the_server_but_not_for_ever() {
        let (link, _theirs) = live().await;
        let start = Instant::now();
        link.finish().await.expect("said goodbye");
        assert_eq!(start.elapsed(), Limits::default().linger_max);
    }
}
