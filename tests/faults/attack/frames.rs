//! HTTP/2 as far as it takes to be hostile (RFC 9113), written by hand.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::dial;
use crate::stage::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// The greatest window, and the greatest step towards it.
pub(super) const WINDOW_MAX: u32 = 0x7FFF_FFFF;
const HEAD_BYTES: usize = 9;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// The stream of the client's request number `n`.
pub(super) fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// GET, http, the path, authority `x` and `accept-encoding: gzip, deflate`, all without the dynamic
/// table (RFC 7541, 6.2.2).
pub(super) fn get(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("a short path");
    // A length of 127 and more continues in the next byte (5.1).
    let length = if length < 127 { vec![length] } else { vec![127, length - 127] };
    [&[0x82, 0x86, 0x04], length.as_slice(), path.as_bytes(), &[0x01, 1, b'x', 0x90]].concat()
}

/// A whole request.
pub(super) fn ask(n: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &get(path))
}

/// A frame of the server.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) payload: Bytes,
}

/// A connection whose preface was sent.
#[derive(Debug)]
pub(super) struct Line {
    io: TcpStream,
    input: BytesMut,
}

impl Line {
    /// With the widest windows there are for what the server sends.
    pub(super) async fn open(to: SocketAddr, from: Ipv4Addr) -> io::Result<Self> {
        Self::with_window(to, from, WINDOW_MAX).await
    }

    /// With windows of this size for each stream.
    pub(super) async fn with_window(
        to: SocketAddr,
        from: Ipv4Addr,
        bytes: u32,
    ) -> io::Result<Self> {
        let mut line = Self { io: dial(to, from).await?, input: BytesMut::new() };
        // SETTINGS_INITIAL_WINDOW_SIZE; that of the connection begins at 65,535 (6.9.2).
        let settings = [&[0, 4], &bytes.to_be_bytes()[..]].concat();
        let wider = (WINDOW_MAX - 65_535).to_be_bytes();
        let first =
            [PREFACE, &frame(SETTINGS, 0, 0, &settings), &frame(WINDOW_UPDATE, 0, 0, &wider)];
        line.send(&first.concat()).await?;
        Ok(line)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.io.write_all(bytes)).await?
    }

    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        self.fill(HEAD_BYTES).await?;
        let mut head = self.input.split_to(HEAD_BYTES);
        let length = usize::try_from(head.get_uint(3)).map_err(io::Error::other)?;
        let (kind, flags) = (head.get_u8(), head.get_u8());
        self.fill(length).await?;
        Ok(Heard { kind, flags, payload: self.input.split_to(length).freeze() })
    }

    async fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.input.len() < bytes {
            self.input.reserve(16 * 1_024);
            if timeout(PATIENCE, self.io.read_buf(&mut self.input)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Sends one piece after the other and reads what comes meanwhile, until all are sent or the
    /// server has enough; whether it said goodbye.
    pub(super) async fn flood(&mut self, mut next: impl FnMut() -> Option<Vec<u8>>) -> Flood {
        let (mut reader, mut writer) = self.io.split();
        let mut heard = std::mem::take(&mut self.input);
        let reading = async {
            loop {
                heard.reserve(64 * 1_024);
                match reader.read_buf(&mut heard).await {
                    Ok(0) | Err(_) => {
                        return Flood { ended: true, goodbye: says_goodbye(&mut heard) };
                    }
                    Ok(_) if says_goodbye(&mut heard) => {
                        return Flood { ended: true, goodbye: true };
                    }
                    Ok(_) => {}
                }
            }
        };
        let writing = async {
            while let Some(bytes) = next() {
                if writer.write_all(&bytes).await.is_err() {
                    // The reader hears why.
                    std::future::pending::<()>().await;
                }
            }
        };
        let both = async {
            tokio::select! {
                biased;
                flood = reading => flood,
                () = writing => Flood { ended: false, goodbye: false },
            }
        };
        timeout(PATIENCE, both).await.expect("neither an end nor an answer")
    }
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood {
    /// The server closed the connection.
    pub(super) ended: bool,
    /// And said GOAWAY before.
    pub(super) goodbye: bool,
}

/// Takes whole frames off, and answers whether one of them was GOAWAY.
fn says_goodbye(heard: &mut BytesMut) -> bool {
    while HEAD_BYTES <= heard.len() {
        let length = usize::try_from(heard.clone().get_uint(3)).expect("three bytes");
        let kind = heard.get(3).copied();
        if heard.len() < HEAD_BYTES + length {
            return false;
        }
        heard.advance(HEAD_BYTES + length);
        if kind == Some(GOAWAY) {
            return true;
        }
    }
    false
}
