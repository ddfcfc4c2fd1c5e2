use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
    stream: Option<TcpStream>,
}

impl Http {
    /// For the server at `addr`, which calls itself `host`. Nothing is sent yet.
    pub fn new(addr: SocketAddr, host: Arc<str>) -> Self {
        Self { addr, host, stream: None }
    }

    /// Opens the connection without asking for anything.
    pub async fn connect(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Asks once; over a connection that the server closed meanwhile, once more.
    pub async fn get(&mut self, path: &str, body: Body) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        let reused = self.stream.is_some();
        match timeout(ANSWER_TIME_MAX, self.ask(&request, body)).await? {
            Err(error) if reused && has_closed(&error) => {
                timeout(ANSWER_TIME_MAX, self.ask(&request, body)).await?
            }
            answered => answered,
        }
    }

    async fn ask(&mut self, request: &str, body: Body) -> io::Result<Answer> {
        if self.stream.is_none() {
            self.connect().await?;
        }
        // Whatever goes wrong from here on, the connection is not used again.
        let mut stream = self.stream.take().ok_or(ErrorKind::NotConnected)?;
        stream.write_all(request.as_bytes()).await?;
        let mut reader = Reader::new(body);
        loop {
            stream.readable().await?;
            if let Some(answer) = read_ready(&stream, &mut reader)? {
                self.stream = answer.reusable.then_some(stream);
                return Ok(answer);
            }
        }
    }
}

/// Reads until nothing more is there.
fn read_ready(stream: &TcpStream, reader: &mut Reader) -> io::Result<Option<Answer>> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let read = match stream.try_read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            let bytes = scratch.get(..read).unwrap_or_default();
            if let Some(answer) = reader.handle_bytes(bytes).map_err(io::Error::other)? {
                return Ok(Some(answer));
            }
        }
    })
}

fn has_closed(error: &io::Error) -> bool {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    kinds.contains(&error.kind())
}
