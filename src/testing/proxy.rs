//! The man in the middle: carries the bytes between two ends as a [`Plan`] for each direction
//! says. Over pipes in one process time may be paused; over TCP on loopback it is real.

use std::collections::VecDeque;
use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{self, JoinSet};
use tokio::time::{self, Instant};

use super::fault::{Action, End, Fault, Plan};

/// What may be under way in one direction: the line's own buffer.
const UNDER_WAY_BYTES_MAX: usize = 256 * 1_024;
/// Pieces written before others get their turn.
const PIECES_A_TURN: u32 = 64;

/// The connection is to be torn, at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

/// Carries bytes between the two ends until both directions have ended; `up` leads from `near` to
/// `far`. An end that breaks tears the other too. A half-open line never returns.
pub async fn forward<N, F>(near: &mut N, far: &mut F, up: Plan, down: Plan) -> Result<(), Torn>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (near_reader, near_writer) = tokio::io::split(near);
    let (far_reader, far_writer) = tokio::io::split(far);
    let up = Lane::new(near_reader, far_writer, up);
    let down = Lane::new(far_reader, near_writer, down);
    tokio::try_join!(up.carry(), down.carry()).map(|((), ())| ())
}

/// One direction.
struct Lane<R, W> {
    reader: R,
    writer: W,
    plan: Plan,
    begun: Instant,
    input: BytesMut,
    under_way: VecDeque<(Instant, Bytes)>,
    under_way_bytes: usize,
    end: Option<End>,
}

/// What a lane does next.
enum Step {
    Deliver(Bytes),
    Take(io::Result<usize>),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Lane<R, W> {
    fn new(reader: R, writer: W, plan: Plan) -> Self {
        Self {
            reader,
            writer,
            plan,
            begun: Instant::now(),
            input: BytesMut::new(),
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            end: None,
        }
    }

    async fn carry(mut self) -> Result<(), Torn> {
        self.decide();
        let mut pieces: u32 = 0;
        loop {
            match self.next_step().await {
                None => return self.finish().await,
                Some(Step::Take(Err(_))) => return Err(Torn),
                Some(Step::Take(Ok(0))) => self.end = Some(End::Fin),
                Some(Step::Take(Ok(_))) => self.decide(),
                Some(Step::Deliver(piece)) => {
                    self.writer.write_all(&piece).await.map_err(|_| Torn)?;
                    self.writer.flush().await.map_err(|_| Torn)?;
                    pieces = pieces.wrapping_add(1);
                    if pieces.is_multiple_of(PIECES_A_TURN) {
                        task::yield_now().await;
                    }
                }
            }
        }
    }

    /// `None` when the end has come and everything before it has arrived.
    async fn next_step(&mut self) -> Option<Step> {
        let due = self.under_way.front().map(|(at, _)| *at);
        // A timer is never earlier than the next tick, which a piece that is due must not wait for.
        if due.is_some_and(|at| at <= Instant::now()) {
            return self.deliver();
        }
        let may_take = self.end.is_none() && self.under_way_bytes < UNDER_WAY_BYTES_MAX;
        if due.is_none() && !may_take {
            return None;
        }
        tokio::select! {
            biased;
            () = sleep_until(due) => self.deliver(),
            taken = self.reader.read_buf(&mut self.input), if may_take => Some(Step::Take(taken)),
        }
    }

    fn deliver(&mut self) -> Option<Step> {
        let (_, piece) = self.under_way.pop_front()?;
        self.under_way_bytes -= piece.len();
        Some(Step::Deliver(piece))
    }

    /// Sends on its way what has come in.
    fn decide(&mut self) {
        loop {
            match self.plan.next(self.input.len(), self.begun.elapsed()) {
                Action::Wait => return,
                Action::End(end) => {
                    self.end = Some(end);
                    return;
                }
                Action::Pass { bytes, at } => {
                    self.under_way_bytes += bytes;
                    self.under_way
                        .push_back((self.begun + at, self.input.split_to(bytes).freeze()));
                }
            }
        }
    }

    async fn finish(mut self) -> Result<(), Torn> {
        match self.end {
            Some(End::Reset) => Err(Torn),
            Some(End::HalfOpen) => future::pending().await,
            // An end that does not hear the goodbye has gone already.
            Some(End::Fin) | None => {
                let _ = self.writer.shutdown().await;
                Ok(())
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => time::sleep_until(due).await,
        None => future::pending().await,
    }
}

/// A listener on loopback in front of a server. Dropping it tears every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// `faults` says for the first connection, the second and so on what happens on the way to
    /// `target` and back; chance comes from `seed` and the connection's number.
    pub async fn start(
        target: SocketAddr,
        seed: u64,
        faults: impl FnMut(u64) -> [Fault; 2] + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, seed, faults));
        Ok(Self { address, _tasks: tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    seed: u64,
    mut faults: impl FnMut(u64) -> [Fault; 2],
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((near, _)) = listener.accept().await else { continue };
        let [up, down] = faults(number);
        let seed = seed.wrapping_add(2 * number);
        let plans = (Plan::new(up, seed), Plan::new(down, seed.wrapping_add(1)));
        connections.spawn(connect(near, target, plans));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(mut near: TcpStream, target: SocketAddr, (up, down): (Plan, Plan)) {
    let Ok(mut far) = TcpStream::connect(target).await else { return reset(&near) };
    for end in [&near, &far] {
        // Else the kernel would gather again what was split.
        let _ = end.set_nodelay(true);
    }
    if forward(&mut near, &mut far, up, down).await.is_err() {
        reset(&near);
        reset(&far);
    }
}

/// Closing it then sends RST.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Both outer ends of a line, which is carried in the background, and how that ended.
    struct Line {
        near: DuplexStream,
        far: DuplexStream,
        carried: JoinSet<Result<(), Torn>>,
    }

    fn line(up: Fault) -> Line {
        let (near, mut left) = duplex(1 << 20);
        let (mut right, far) = duplex(1 << 20);
        let mut carried = JoinSet::new();
        let plans = (Plan::new(up, 1), Plan::new(Fault::default(), 2));
        carried.spawn(async move { forward(&mut left, &mut right, plans.0, plans.1).await });
        Line { near, far, carried }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_arrive_whole_and_late() {
        for piece_bytes_max in [1, 1_448] {
            let fault =
                Fault { delay: SECOND, jitter: SECOND, piece_bytes_max, ..Fault::default() };
            let Line { mut near, mut far, mut carried } = line(fault);
            let begun = Instant::now();
            let sent: Vec<u8> = (0..=255).cycle().take(50_000).collect();
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert!(got == sent);
            assert!((SECOND..=2 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
            far.write_all(b"answer").await.unwrap();
            drop(far);
            got.clear();
            near.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"answer");
            assert_eq!(carried.join_next().await.unwrap().unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_pushes_back() {
        let fault = Fault { bytes_per_second_max: Some(100_000), ..Fault::default() };
        let Line { mut near, mut far, carried: _carried } = line(fault);
        let begun = Instant::now();
        let (send, mut got) = (vec![7; 4 << 20], vec![0; 4 << 20]);
        let (sent, read) = tokio::join!(near.write_all(&send), far.read_exact(&mut got));
        assert!(sent.is_ok() && read.is_ok());
        let took = begun.elapsed().as_secs_f64();
        assert!((41.0..43.0).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_ends_three_ways() {
        for end in [End::Fin, End::Reset, End::HalfOpen] {
            let fault = Fault { end: Some((10, end)), ..Fault::default() };
            let Line { mut near, mut far, mut carried } = line(fault);
            near.write_all(&[1; 100]).await.unwrap();
            let mut got = [0; 10];
            far.read_exact(&mut got).await.unwrap();
            let more = time::timeout(SECOND, far.read(&mut got)).await;
            let other = async {
                near.read_exact(&mut [0; 4]).await?;
                io::Result::Ok(())
            };
            match end {
                End::Fin => {
                    assert_eq!(more.unwrap().unwrap(), 0);
                    far.write_all(b"pong").await.unwrap();
                    other.await.unwrap();
                }
                End::Reset => {
                    assert_eq!(carried.join_next().await.unwrap().unwrap(), Err(Torn));
                    assert!(other.await.is_err());
                }
                End::HalfOpen => {
                    assert!(more.is_err(), "nobody is told");
                    far.write_all(b"pong").await.unwrap();
                    other.await.unwrap();
                    assert!(time::timeout(60 * SECOND, carried.join_next()).await.is_err());
                }
            }
        }
    }

    /// Over TCP: the first connection is torn, which both ends feel, the second is sound.
    #[tokio::test]
    async fn each_connection_has_its_own_faults() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let torn = Fault { end: Some((4, End::Reset)), ..Fault::default() };
        let proxy = Proxy::start(target, 1, move |number| {
            [if number == 0 { torn } else { Fault::default() }, Fault::default()]
        });
        let proxy = proxy.await.unwrap();
        for number in 0..2 {
            let mut near = TcpStream::connect(proxy.address()).await.unwrap();
            let (mut far, _) = server.accept().await.unwrap();
            near.write_all(b"12345678").await.unwrap();
            let mut got = [0; 8];
            if number == 0 {
                let error = near.read(&mut got).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                let error = far.read_exact(&mut got).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            } else {
                far.read_exact(&mut got).await.unwrap();
                assert_eq!(&got, b"12345678");
            }
        }
    }
}
