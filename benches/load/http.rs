//! As much of HTTP/1.1 as a player needs: GET with keep-alive and a known length, and nothing
//! that costs more than the server under test.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any server may hold a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
const READ_BYTES: usize = 64 * 1024;

/// One connection, opened again when the server closed it.
#[derive(Debug)]
pub(crate) struct Http {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// Whether the caller wants to look at a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Keep,
    Discard,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    /// Empty where it was not asked for.
    pub body: Vec<u8>,
    pub body_bytes: usize,
}

impl Http {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None, buffer: vec![0; READ_BYTES] }
    }

    /// Opens the connection without asking for anything.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Asks once; a connection that the server closed meanwhile is opened again.
    pub(crate) async fn get(&mut self, path: &str, body: Body) -> io::Result<Answer> {
        let reused = self.stream.is_some();
        match timeout(ANSWER_TIME_MAX, self.ask(path, body)).await? {
            Err(error) if reused && error.kind() == ErrorKind::UnexpectedEof => {
                self.stream = None;
                timeout(ANSWER_TIME_MAX, self.ask(path, body)).await?
            }
            answered => answered,
        }
    }

    async fn ask(&mut self, path: &str, body: Body) -> io::Result<Answer> {
        if self.stream.is_none() {
            self.connect().await?;
        }
        let mut stream = self.stream.take().ok_or(ErrorKind::NotConnected)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr);
        stream.write_all(request.as_bytes()).await?;

        let (mut filled, head_bytes) = self.read_head(&mut stream).await?;
        let head = Head::parse(self.buffer.get(..head_bytes).unwrap_or_default())?;
        let mut kept = Vec::new();
        let mut missing = head.length;
        let mut from = head_bytes;
        loop {
            let piece = self.buffer.get(from..filled).unwrap_or_default();
            missing = missing.checked_sub(piece.len()).ok_or(ErrorKind::InvalidData)?;
            if body == Body::Keep {
                kept.extend_from_slice(piece);
            }
            if missing == 0 {
                break;
            }
            (from, filled) = (0, read_some(&mut stream, &mut self.buffer).await?);
        }
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, body: kept, body_bytes: head.length })
    }

    /// Reads up to the empty line. Answers how much was read, and where the body begins.
    async fn read_head(&mut self, stream: &mut TcpStream) -> io::Result<(usize, usize)> {
        let mut filled = 0;
        loop {
            let room = self.buffer.get_mut(filled..).filter(|room| !room.is_empty());
            filled += read_some(stream, room.ok_or(ErrorKind::InvalidData)?).await?;
            let read = self.buffer.get(..filled).unwrap_or_default();
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((filled, at + 4));
            }
        }
    }
}

async fn read_some(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<usize> {
    match stream.read(room).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

struct Head {
    status: u16,
    length: usize,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        Ok(Self { status, length: length.ok_or(ErrorKind::InvalidData)?, closes })
    }
}
