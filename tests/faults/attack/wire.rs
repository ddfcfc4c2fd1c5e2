//! What attackers put on the wire, written by hand: RTMP as far as it takes to be hostile.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use crate::stage::PATIENCE;

/// Message types (Adobe RTMP 1.0, sections 5.4 and 7.1).
pub(super) const SET_CHUNK_SIZE: u8 = 1;
pub(super) const USER_CONTROL: u8 = 4;
pub(super) const AUDIO: u8 = 8;
pub(super) const VIDEO: u8 = 9;
pub(super) const DATA: u8 = 18;
pub(super) const COMMAND: u8 = 20;
pub(super) const AGGREGATE: u8 = 22;
/// Means nothing to anybody.
pub(super) const UNKNOWN: u8 = 99;

/// The size of chunks until a peer says otherwise, and what our publishers say.
pub(super) const CHUNK_BYTES: usize = 128;
const PUBLISHER_CHUNK_BYTES: usize = 65_536;
/// Version, C1 and C2, of zeros: a plain handshake.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

/// A full header of a chunk that announces a message, and what follows it.
pub(super) fn chunk(chunk_stream: u8, length: usize, kind: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = length.to_be_bytes();
    [&[chunk_stream, 0, 0, 0, a, b, c, kind, 1, 0, 0, 0], payload].concat()
}

/// A whole message on message stream 1, in chunks of this size.
pub(super) fn message(kind: u8, timestamp: u32, payload: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let chunk_stream = kind.clamp(2, 63);
    let mut pieces = payload.chunks(chunk_bytes);
    let mut bytes = chunk(chunk_stream, payload.len(), kind, pieces.next().unwrap_or_default());
    let [_, a, b, c] = timestamp.to_be_bytes();
    bytes.splice(1..4, [a, b, c]);
    for piece in pieces {
        bytes.push(0xC0 | chunk_stream);
        bytes.extend(piece);
    }
    bytes
}

/// AMF0 (version 0 of the format, section 2).
pub(super) mod amf {
    pub(crate) const NULL: &[u8] = &[5];

    pub(crate) fn text(text: &str) -> Vec<u8> {
        [&[2], name(text).as_slice()].concat()
    }

    pub(crate) fn number(number: f64) -> Vec<u8> {
        [&[0][..], &number.to_be_bytes()].concat()
    }

    /// An object with one property.
    pub(crate) fn object(property: &str, value: &[u8]) -> Vec<u8> {
        [&[3], name(property).as_slice(), value, &[0, 0, 9]].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).expect("a short string");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }
}

/// A command with its arguments, as the body of a message.
pub(super) fn command(name: &str, transaction: f64, arguments: &[&[u8]]) -> Vec<u8> {
    [amf::text(name), amf::number(transaction), arguments.concat()].concat()
}

/// Everything an encoder says up to `publish`, without waiting for an answer to any of it.
pub(super) fn publish(key: &str) -> Vec<u8> {
    let size = u32::try_from(PUBLISHER_CHUNK_BYTES).expect("small").to_be_bytes();
    let connect = command("connect", 1.0, &[&amf::object("app", &amf::text("live"))]);
    let create = command("createStream", 2.0, &[amf::NULL]);
    let publish = command("publish", 3.0, &[amf::NULL, &amf::text(key), &amf::text("live")]);
    let mut bytes = chunk(2, size.len(), SET_CHUNK_SIZE, &size);
    for body in [connect, create, publish] {
        bytes.extend(message(COMMAND, 0, &body, PUBLISHER_CHUNK_BYTES));
    }
    bytes
}

/// A connection to the server from an address of our choice.
pub(super) async fn dial(to: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one byte now and then until the server closes, and answers how long that took.
pub(super) async fn drip(io: &mut TcpStream, byte: u8, pause: Duration) -> Duration {
    let start = Instant::now();
    let mut every = interval(pause);
    let mut answer = [0; 1_024];
    loop {
        tokio::select! {
            read = io.read(&mut answer) => match read {
                Ok(0) | Err(_) => return start.elapsed(),
                Ok(_) => {}
            },
            // A server that has closed is heard of by the read.
            _ = every.tick() => drop(io.write_all(&[byte]).await),
        }
    }
}

/// An RTMP peer behind its handshake.
#[derive(Debug)]
pub(super) struct Peer {
    io: TcpStream,
    heard: Vec<u8>,
}

impl Peer {
    pub(super) async fn open(to: SocketAddr, from: Ipv4Addr) -> io::Result<Self> {
        let mut io = dial(to, from).await?;
        let mut handshake = vec![0; HANDSHAKE_BYTES];
        handshake.splice(..1, [3]);
        io.write_all(&handshake).await?;
        timeout(PATIENCE, io.read_exact(&mut handshake)).await??;
        Ok(Self { io, heard: Vec::new() })
    }

    /// One that was allowed to publish, or has heard why not.
    pub(super) async fn publish(to: SocketAddr, from: Ipv4Addr, key: &str) -> io::Result<Self> {
        let mut peer = Self::open(to, from).await?;
        peer.send(&publish(key)).await?;
        while !peer.has_heard("NetStream.") {
            peer.hear().await?;
        }
        Ok(peer)
    }

    pub(super) fn is_publishing(&self) -> bool {
        self.has_heard("NetStream.Publish.Start")
    }

    pub(super) fn has_heard(&self, words: &str) -> bool {
        self.heard.windows(words.len()).any(|heard| heard == words.as_bytes())
    }

    /// A server that has enough says so here.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.io.write_all(bytes)).await?
    }

    /// One whole message in the chunks of a publisher.
    pub(super) async fn message(&mut self, kind: u8, at: u32, body: &[u8]) -> io::Result<()> {
        self.send(&message(kind, at, body, PUBLISHER_CHUNK_BYTES)).await
    }

    /// Waits for the server to say something more.
    pub(super) async fn hear(&mut self) -> io::Result<()> {
        match timeout(PATIENCE, self.io.read_buf(&mut self.heard)).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Listens until the server closes.
    ///
    /// # Panics
    /// When it does not.
    pub(super) async fn until_closed(&mut self) {
        loop {
            match self.hear().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => panic!("{error}"),
                Err(_) => return,
            }
        }
    }

    /// Says nothing more, and listens until the server closes.
    pub(super) async fn leave(&mut self) {
        // The server may have left before us.
        let _ = self.io.shutdown().await;
        self.until_closed().await;
    }
}
