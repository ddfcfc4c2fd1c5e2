//! As much of HTTP/1.1 as a viewer needs: GET with keep-alive and a known length.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than the server holds any request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// One connection, opened again when the server closed it after an answer.
#[derive(Debug)]
pub(crate) struct Http {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    input: BytesMut,
}

/// A whole answer. The fields of the head are as they were sent, in small letters.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None, input: BytesMut::new() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer> {
        timeout(ANSWER_TIME_MAX, self.ask(path)).await?
    }

    async fn ask(&mut self, path: &str) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.addr).await?,
        };
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr);
        stream.write_all(request.as_bytes()).await?;
        let answer = read_answer(&mut stream, &mut self.input).await?;
        if !answer.head.contains("\r\nconnection: close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// Reads one answer of a known length; `input` keeps what came behind it.
pub(crate) async fn read_answer(
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> io::Result<Answer> {
    let head_bytes = loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        fill(stream, input).await?;
    };
    let head = String::from_utf8_lossy(&input.split_to(head_bytes)).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(ErrorKind::InvalidData)?;
    let length = head.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next());
    let length: usize =
        length.map_or(Ok(0), |text| text.trim().parse()).map_err(io::Error::other)?;
    while input.remaining() < length {
        fill(stream, input).await?;
    }
    Ok(Answer { status, head, body: input.split_to(length).freeze() })
}

async fn fill(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    input.reserve(64 * 1_024);
    match stream.read_buf(input).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
