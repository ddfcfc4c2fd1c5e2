use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::{Answer, Reader};

/// Longer than a server may hold a request: three target durations of the longest that are usual
/// (draft-pantos-hls-rfc8216bis, section 6.2.5.2).
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// What one read takes, for all connections of a thread: thousands that wait hold nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Whether the caller wants to look at a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Keep,
    Count,
}

/// One connection of HTTP/1.1, opened again when the server has closed it.
#[derive(Debug)]
pub struct Http {
    addr: SocketAddr,
    host: Arc<str>,
    source: Option<IpAddr>,
    stream: Option<TcpStream>,
    /// What is asked for.
    request: Vec<u8>,
    deadline: Deadline,
}

impl Http {
    /// For the server at `addr`, which calls itself `host`. Nothing is sent yet.
    pub fn new(addr: SocketAddr, host: Arc<str>) -> Self {
        Self {
            addr,
            host,
            source: None,
            stream: None,
            request: Vec::new(),
            deadline: Deadline::default(),
        }
    }

    /// The same from an address of this machine. One that many thousand connections leave is slow
    /// to find a port for another.
    pub fn from_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Opens the connection without asking for anything.
    pub async fn connect(&mut self) -> io::Result<()> {
        self.stream = Some(open(self.addr, self.source).await?);
        Ok(())
    }

    /// Asks once; over a connection that the server closed meanwhile, once more.
    pub async fn get(&mut self, path: &str, body: Body) -> io::Result<Answer> {
        self.ask(path);
        self.answer(body, |answer| answer.to_owned()).await
    }

    /// Says what the next answer is to be; nothing is sent before [`Self::answer`].
    pub(super) fn ask(&mut self, path: &str) {
        self.request.clear();
        for piece in ["GET ", path, " HTTP/1.1\r\nHost: ", &self.host, "\r\n\r\n"] {
            self.request.extend_from_slice(piece.as_bytes());
        }
    }

    /// Sends what was asked for; over a connection that the server closed meanwhile, once more.
    /// `read` is shown the answer where it lies, as soon as its last byte is there.
    pub(super) async fn answer<T>(
        &mut self,
        body: Body,
        mut read: impl FnMut(&Answer<&[u8]>) -> T,
    ) -> io::Result<T> {
        let reused = self.stream.is_some();
        match self.exchange(body, &mut read).await {
            Err(error) if reused && has_closed(&error) => self.exchange(body, &mut read).await,
            answered => answered,
        }
    }

    async fn exchange<T>(
        &mut self,
        body: Body,
        read: &mut impl FnMut(&Answer<&[u8]>) -> T,
    ) -> io::Result<T> {
        // Whatever goes wrong, the connection is not used again.
        let (addr, source, stream) = (self.addr, self.source, self.stream.take());
        let exchange = async {
            let mut stream = match stream {
                Some(stream) => stream,
                None => open(addr, source).await?,
            };
            stream.write_all(&self.request).await?;
            let mut reader = Reader::new(body);
            let answered = poll_fn(|cx| poll_answer(&mut stream, &mut reader, read, cx)).await;
            // What breaks off in an answer was not closed before the request.
            let broken = |error| if reader.has_begun() { io::Error::other(error) } else { error };
            let (value, reusable) = answered.map_err(broken)?;
            Ok((value, reusable.then_some(stream)))
        };
        let (value, stream) = self.deadline.limit(exchange).await?;
        self.stream = stream;
        Ok(value)
    }
}

/// When an answer is too late: one timer for all requests of a connection. To move it on costs next
/// to nothing, where one for each request would be brought to its place and taken away again.
#[derive(Debug, Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    async fn limit<T>(&mut self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let by = Instant::now() + ANSWER_TIME_MAX;
        let over = self.0.get_or_insert_with(|| Box::pin(sleep_until(by)));
        over.as_mut().reset(by);
        tokio::select! {
            biased;
            done = work => done,
            () = over => Err(ErrorKind::TimedOut.into()),
        }
    }
}

async fn open(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What `read` makes of the answer once it is whole, and whether another may follow.
fn poll_answer<T>(
    stream: &mut TcpStream,
    reader: &mut Reader,
    read: &mut impl FnMut(&Answer<&[u8]>) -> T,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(T, bool)>> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            if let Some(answer) = reader.handle_bytes(bytes).map_err(io::Error::other)? {
                return Poll::Ready(Ok((read(&answer), answer.reusable)));
            }
        }
    })
}

fn has_closed(error: &io::Error) -> bool {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_answer_has_its_time() {
        let mut deadline = Deadline::default();
        for _ in 0..3 {
            let slow = async {
                sleep(ANSWER_TIME_MAX - Duration::from_secs(1)).await;
                Ok(())
            };
            deadline.limit(slow).await.expect("it was in time");
        }
        let asked = Instant::now();
        let never = deadline.limit(std::future::pending::<io::Result<()>>()).await;
        assert_eq!(never.expect_err("it never came").kind(), ErrorKind::TimedOut);
        assert_eq!(asked.elapsed().as_secs(), ANSWER_TIME_MAX.as_secs());
    }

    /// Answers so many requests on one connection, says in the body what was asked for, and closes.
    async fn serve(listener: &TcpListener, requests: usize) {
        let (mut stream, peer) = listener.accept().await.expect("a connection");
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
        let mut asked = Vec::new();
        for _ in 0..requests {
            asked.clear();
            while !asked.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut asked).await.expect("a request") > 0);
            }
            // More than one read takes, and the head in two pieces.
            let body = [asked.as_slice(), &[b'.'; 2 * READ_BYTES]].concat();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let (first, second) = head.split_at(20);
            for piece in [first.as_bytes(), second.as_bytes(), &body] {
                stream.write_all(piece).await.expect("taken");
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_serves_for_many_requests_and_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let source = IpAddr::from([127, 0, 0, 9]);
        let mut http = Http::new(addr, "h".into()).from_source(source);
        let served = async {
            serve(&listener, 2).await;
            serve(&listener, 1).await;
        };
        let asked = async {
            for (path, body) in [("/1", Body::Keep), ("/2", Body::Count), ("/3", Body::Keep)] {
                let answer = http.get(path, body).await.expect(path);
                let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
                assert_eq!(answer.body_bytes, request.len() + 2 * READ_BYTES);
                match body {
                    Body::Keep => assert!(answer.body.starts_with(request.as_bytes()), "{path}"),
                    Body::Count => assert!(answer.body.is_empty()),
                }
            }
        };
        tokio::join!(served, asked);
        // Nobody listens any more.
        drop(listener);
        http.get("/4", Body::Count).await.expect_err("there is no server");
    }

    /// An answer that breaks off is a failure of the server, not a reason to ask again.
    #[tokio::test]
    async fn what_breaks_off_is_not_asked_for_again() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        for cut in [0, 1, whole.len() - 4, whole.len() - 1] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut http = Http::new(listener.local_addr().expect("an address"), "h".into());
            let served = async {
                for answers in [[whole, whole.split_at(cut).0].as_slice(), &[whole]] {
                    let (mut stream, _) = listener.accept().await.expect("a connection");
                    for answer in answers {
                        let mut asked = Vec::new();
                        while !asked.ends_with(b"\r\n\r\n") {
                            assert!(stream.read_buf(&mut asked).await.expect("a request") > 0);
                        }
                        stream.write_all(answer.as_bytes()).await.expect("taken");
                    }
                }
            };
            let asked = async {
                http.get("/", Body::Keep).await.expect("the first");
                let second = http.get("/", Body::Keep).await;
                assert_eq!(second.is_ok(), cut == 0, "{cut}: {second:?}");
                if cut > 0 {
                    http.get("/", Body::Keep).await.expect("over a new connection");
                }
            };
            tokio::join!(served, asked);
        }
    }
}
