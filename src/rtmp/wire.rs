//! RTMP chunks to whole messages (Adobe RTMP 1.0, section 5.3), with a ceiling on everything.

use bytes::{Buf, Bytes, BytesMut};

use crate::base::{Blame, Limits, MonoTime};

/// Chunk size of both directions until a Set Chunk Size (section 5.4.1).
const CHUNK_BYTES_DEFAULT: usize = 128;
/// A three-byte timestamp of this value says that the real one follows in four bytes
/// (section 5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

/// What a message is, by its type id (sections 5.4, 6.2 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// 1, applied inside [`Wire`] and never yielded.
    SetChunkSize,
    /// 2, applied inside [`Wire`] and never yielded.
    Abort,
    /// 3
    Acknowledgement,
    /// 4
    UserControl,
    /// 5
    WindowAcknowledgement,
    /// 6
    PeerBandwidth,
    /// 8
    Audio,
    /// 9
    Video,
    /// 15: a data message marked AMF3, in practice AMF0 behind a zero byte.
    DataAmf3,
    /// 17: a command marked AMF3, in practice AMF0 behind a zero byte.
    CommandAmf3,
    /// 18
    Data,
    /// 20
    Command,
    /// 22
    Aggregate,
    /// Shared objects (16, 19) and whatever else a peer invents.
    Other(u8),
}

impl From<u8> for MessageKind {
    fn from(id: u8) -> Self {
        match id {
            1 => Self::SetChunkSize,
            2 => Self::Abort,
            3 => Self::Acknowledgement,
            4 => Self::UserControl,
            5 => Self::WindowAcknowledgement,
            6 => Self::PeerBandwidth,
            8 => Self::Audio,
            9 => Self::Video,
            15 => Self::DataAmf3,
            17 => Self::CommandAmf3,
            18 => Self::Data,
            20 => Self::Command,
            22 => Self::Aggregate,
            other => Self::Other(other),
        }
    }
}

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Milliseconds, modulo 2^32.
    pub timestamp: u32,
    pub kind: MessageKind,
    /// The message stream; 0 is the connection itself.
    pub stream: u32,
    /// In an allocation of exactly this size.
    pub payload: Bytes,
}

/// How a peer broke the framing. None of these can be survived: what follows in the byte stream
/// has lost its meaning, or would cost more than this peer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a compressed header on chunk stream {chunk_stream} that had no full one before")]
    NoHeader { chunk_stream: u32 },
    #[error("a new header on chunk stream {chunk_stream} in the middle of a message")]
    HeaderInMessage { chunk_stream: u32 },
    #[error("more than {max} chunk streams")]
    TooManyChunkStreams { max: usize },
    #[error("a message of {length} bytes where {max} are allowed")]
    MessageTooLong { length: usize, max: usize },
    #[error("unfinished messages of {bytes} bytes in all where {max} are allowed")]
    PartialTooLarge { bytes: usize, max: usize },
    #[error("a chunk size of {0:#x}")]
    ChunkSize(u32),
    #[error("a protocol control message of {got} bytes where 4 are needed")]
    ControlTooShort { got: usize },
    #[error("more than {max} tiny chunks in a second")]
    TinyChunks { max: u32 },
}

impl WireError {
    /// The metric label and log field.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoHeader { .. } => "wire_no_header",
            Self::HeaderInMessage { .. } => "wire_header_in_message",
            Self::TooManyChunkStreams { .. } => "wire_chunk_streams",
            Self::MessageTooLong { .. } => "wire_message_too_long",
            Self::PartialTooLarge { .. } => "wire_partial_too_large",
            Self::ChunkSize(_) => "wire_chunk_size",
            Self::ControlTooShort { .. } => "wire_control_too_short",
            Self::TinyChunks { .. } => "wire_tiny_chunks",
        }
    }

    pub fn blame(&self) -> Blame {
        Blame::Peer
    }
}

/// The reading half of one connection's framing.
///
/// It keeps the state of each chunk stream and the messages that are not whole yet, and nothing
/// else: the caller owns the read buffer, of which at most 18 bytes (a header cut in two) stay
/// unread when [`Wire::handle_bytes`] asks for more. A payload byte is copied once, from the read
/// buffer into the message's own allocation.
#[derive(Debug)]
pub struct Wire {
    chunk_streams: Vec<ChunkStream>,
    chunk_bytes: usize,
    /// The chunk whose payload is being read.
    open: Option<OpenChunk>,
    /// Declared lengths of all unfinished messages.
    partial_bytes: usize,
    ceilings: Ceilings,
    after_publish: Ceilings,
    chunk_streams_max: usize,
    chunk_bytes_max: usize,
    tiny: TinyChunks,
}

#[derive(Clone, Copy, Debug)]
struct Ceilings {
    message_bytes_max: usize,
    partial_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct OpenChunk {
    /// Place in `chunk_streams`.
    slot: usize,
    /// Payload bytes of this chunk still to come.
    left: usize,
}

#[derive(Debug)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// What a type 3 chunk that begins a message adds (section 5.3.1.2.4).
    delta: u32,
    /// The extended timestamp field of the last header that had a timestamp field.
    extended: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
    /// The unfinished message: between its first chunk and its last.
    partial: Option<Vec<u8>>,
}

/// Peers may choose chunks of one byte (section 5.4.1); then a header is parsed for each byte.
/// Only chunks that do not end a message count, so small messages are free.
#[derive(Debug)]
struct TinyChunks {
    per_second_max: u32,
    since: MonoTime,
    count: u32,
}

impl Wire {
    /// Starts with the small ceilings for peers that have not shown a key.
    pub fn new(limits: &Limits) -> Self {
        Self {
            chunk_streams: Vec::new(),
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            open: None,
            partial_bytes: 0,
            ceilings: Ceilings {
                message_bytes_max: limits.message_before_publish_bytes_max,
                partial_bytes_max: limits.partial_before_publish_bytes_max,
            },
            after_publish: Ceilings {
                message_bytes_max: limits.message_bytes_max,
                partial_bytes_max: limits.partial_bytes_max,
            },
            chunk_streams_max: limits.chunk_streams_max,
            chunk_bytes_max: limits.chunk_bytes_max,
            tiny: TinyChunks {
                per_second_max: limits.tiny_chunks_per_second_max,
                since: MonoTime::ZERO,
                count: 0,
            },
        }
    }

    /// Allows media-sized messages from here on: the peer's `publish` was accepted.
    pub fn raise_ceilings(&mut self) {
        self.ceilings = self.after_publish;
    }

    /// Takes bytes from the front of `input` until a message is whole. `None`: all that could be
    /// used is used, read more. Set Chunk Size and Abort are applied here and not yielded.
    pub fn handle_bytes(
        &mut self,
        input: &mut BytesMut,
        now: MonoTime,
    ) -> Result<Option<Message>, WireError> {
        loop {
            if let Some(open) = self.open.take() {
                match self.take_payload(open, input) {
                    Progress::Starved => return Ok(None),
                    Progress::ChunkDone => {}
                    Progress::Message(message) => {
                        if !self.apply_control(&message)? {
                            return Ok(Some(message));
                        }
                    }
                }
                continue;
            }
            let Some(header) = self.parse_header(input)? else { return Ok(None) };
            input.advance(header.bytes);
            self.begin_chunk(&header, now)?;
        }
    }

    fn take_payload(&mut self, open: OpenChunk, input: &mut BytesMut) -> Progress {
        let chunk_stream = self.chunk_streams.get_mut(open.slot).expect("slots are never removed");
        let partial = chunk_stream.partial.as_mut().expect("an open chunk has a message");
        let take = open.left.min(input.len());
        partial.extend_from_slice(input.get(..take).expect("take is at most the input"));
        input.advance(take);

        if take < open.left {
            self.open = Some(OpenChunk { left: open.left - take, ..open });
            return Progress::Starved;
        }
        if partial.len() < chunk_stream.length {
            return Progress::ChunkDone;
        }
        let payload = chunk_stream.partial.take().expect("checked above");
        self.partial_bytes -= chunk_stream.length;
        Progress::Message(Message {
            timestamp: chunk_stream.timestamp,
            kind: MessageKind::from(chunk_stream.kind),
            stream: chunk_stream.stream,
            payload: Bytes::from(payload),
        })
    }

    /// Reads one chunk header (section 5.3.1) when all of it is there. Nothing changes before.
    fn parse_header(&self, input: &[u8]) -> Result<Option<Header>, WireError> {
        let mut cursor = Cursor { rest: input };
        let Some(first) = cursor.u8() else { return Ok(None) };
        let format = first >> 6;
        let id = match first & 0x3F {
            0 => cursor.u8().map(|low| 64 + u32::from(low)),
            1 => cursor.u16_le().map(|id| 64 + u32::from(id)),
            id => Some(u32::from(id)),
        };
        let Some(id) = id else { return Ok(None) };
        let slot = self.chunk_streams.iter().position(|chunk_stream| chunk_stream.id == id);
        let known = slot.and_then(|slot| self.chunk_streams.get(slot));

        let (body, extended) = if format == 3 {
            let known = known.ok_or(WireError::NoHeader { chunk_stream: id })?;
            let Some(()) = cursor.skip_repeated(known.extended) else { return Ok(None) };
            (HeaderBody::Repeat, known.extended)
        } else {
            if known.is_none() && format != 0 {
                return Err(WireError::NoHeader { chunk_stream: id });
            }
            let Some(parsed) = parse_fields(format, &mut cursor) else { return Ok(None) };
            parsed
        };
        Ok(Some(Header { id, slot, body, extended, bytes: input.len() - cursor.rest.len() }))
    }

    fn begin_chunk(&mut self, header: &Header, now: MonoTime) -> Result<(), WireError> {
        let slot = match header.slot {
            Some(slot) => slot,
            None => self.open_chunk_stream(header.id)?,
        };
        let chunk_stream = self.chunk_streams.get_mut(slot).expect("slots are never removed");
        if chunk_stream.partial.is_none() {
            chunk_stream.begin_message(header);
            let length = chunk_stream.length;
            let max = self.ceilings.message_bytes_max;
            if length > max {
                return Err(WireError::MessageTooLong { length, max });
            }
            self.partial_bytes += length;
            let max = self.ceilings.partial_bytes_max;
            if self.partial_bytes > max {
                return Err(WireError::PartialTooLarge { bytes: self.partial_bytes, max });
            }
            chunk_stream.partial = Some(Vec::with_capacity(length));
        } else if !matches!(header.body, HeaderBody::Repeat) {
            return Err(WireError::HeaderInMessage { chunk_stream: header.id });
        }
        let have = chunk_stream.partial.as_ref().map_or(0, Vec::len);
        let missing = chunk_stream.length - have;
        let left = missing.min(self.chunk_bytes);
        if left < missing && self.chunk_bytes < CHUNK_BYTES_DEFAULT {
            self.tiny.count_one(now)?;
        }
        self.open = Some(OpenChunk { slot, left });
        Ok(())
    }

    fn open_chunk_stream(&mut self, id: u32) -> Result<usize, WireError> {
        let slot = self.chunk_streams.len();
        if slot >= self.chunk_streams_max {
            return Err(WireError::TooManyChunkStreams { max: self.chunk_streams_max });
        }
        self.chunk_streams.push(ChunkStream {
            id,
            timestamp: 0,
            delta: 0,
            extended: None,
            length: 0,
            kind: 0,
            stream: 0,
            partial: None,
        });
        Ok(slot)
    }

    /// Obeys the two messages that steer this reader; false for every other one.
    fn apply_control(&mut self, message: &Message) -> Result<bool, WireError> {
        if message.kind == MessageKind::SetChunkSize {
            self.set_chunk_size(&message.payload)?;
        } else if message.kind == MessageKind::Abort {
            self.abort(&message.payload)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let size = control_value(payload)?;
        if size == 0 || size > 0x7FFF_FFFF {
            return Err(WireError::ChunkSize(size));
        }
        self.chunk_bytes = usize::try_from(size).unwrap_or(usize::MAX).min(self.chunk_bytes_max);
        Ok(())
    }

    /// Abort names a chunk stream, not a message stream (section 5.4.2).
    fn abort(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let id = control_value(payload)?;
        if let Some(found) = self.chunk_streams.iter_mut().find(|known| known.id == id)
            && found.partial.take().is_some()
        {
            self.partial_bytes -= found.length;
        }
        Ok(())
    }
}

impl ChunkStream {
    fn begin_message(&mut self, header: &Header) {
        match header.body {
            HeaderBody::Full { timestamp, length, kind, stream } => {
                self.timestamp = timestamp;
                self.delta = timestamp;
                (self.length, self.kind, self.stream) = (length, kind, stream);
            }
            HeaderBody::SameStream { delta, length, kind } => {
                self.delta = delta;
                (self.length, self.kind) = (length, kind);
                self.timestamp = self.timestamp.wrapping_add(delta);
            }
            HeaderBody::SameLength { delta } => {
                self.delta = delta;
                self.timestamp = self.timestamp.wrapping_add(delta);
            }
            HeaderBody::Repeat => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        self.extended = header.extended;
    }
}

impl TinyChunks {
    fn count_one(&mut self, now: MonoTime) -> Result<(), WireError> {
        if now.since(self.since).as_secs() >= 1 {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        if self.count > self.per_second_max {
            return Err(WireError::TinyChunks { max: self.per_second_max });
        }
        Ok(())
    }
}

enum Progress {
    Starved,
    ChunkDone,
    Message(Message),
}

struct Header {
    id: u32,
    slot: Option<usize>,
    body: HeaderBody,
    extended: Option<u32>,
    /// Length of the header itself.
    bytes: usize,
}

/// The four message headers (section 5.3.1.2), types 0 to 3.
enum HeaderBody {
    Full { timestamp: u32, length: usize, kind: u8, stream: u32 },
    SameStream { delta: u32, length: usize, kind: u8 },
    SameLength { delta: u32 },
    Repeat,
}

fn parse_fields(format: u8, cursor: &mut Cursor<'_>) -> Option<(HeaderBody, Option<u32>)> {
    let short = cursor.u24()?;
    let sized = if format < 2 { Some((cursor.u24()?, cursor.u8()?)) } else { None };
    let stream = if format == 0 { Some(cursor.u32_le()?) } else { None };
    let extended = if short == EXTENDED { Some(cursor.u32()?) } else { None };
    let time = extended.unwrap_or(short);

    let body = match (sized, stream) {
        (Some((length, kind)), Some(stream)) => {
            HeaderBody::Full { timestamp: time, length: to_length(length), kind, stream }
        }
        (Some((length, kind)), None) => {
            HeaderBody::SameStream { delta: time, length: to_length(length), kind }
        }
        (None, _) => HeaderBody::SameLength { delta: time },
    };
    Some((body, extended))
}

fn to_length(field: u32) -> usize {
    usize::try_from(field).expect("24 bits fit")
}

fn control_value(payload: &[u8]) -> Result<u32, WireError> {
    Cursor { rest: payload }.u32().ok_or(WireError::ControlTooShort { got: payload.len() })
}

/// Reads from the front of a slice; `None` when it is too short.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16_le(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u24(&mut self) -> Option<u32> {
        self.take::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u32_le(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Skips the extended timestamp of a type 3 chunk if it is there. The standard wants it
    /// repeated (section 5.3.1.3); widespread encoders leave it out. So it is taken only when the
    /// four bytes are the very value, and the first byte that differs settles it, so the end of
    /// a message never waits for the next one. `None`: too early to tell.
    fn skip_repeated(&mut self, extended: Option<u32>) -> Option<()> {
        let Some(value) = extended else { return Some(()) };
        let expected = value.to_be_bytes();
        let seen = self.rest.iter().zip(&expected).take_while(|(got, want)| got == want).count();
        if seen == expected.len() {
            self.rest = self.rest.get(seen..).expect("seen bytes are there");
            return Some(());
        }
        if seen == self.rest.len() { None } else { Some(()) }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
