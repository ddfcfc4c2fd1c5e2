//! RTMP chunks to whole messages (Adobe RTMP 1.0, section 5.3), with a ceiling on everything.

use bytes::{Buf, Bytes, BytesMut};

use super::chunk::{Basic, Cursor, Header};
use crate::base::{Blame, Limits, MonoTime};

/// Chunk size of both directions until a Set Chunk Size (section 5.4.1).
const CHUNK_BYTES_DEFAULT: usize = 128;
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
    tiny: TinyChunks,
}

#[derive(Clone, Copy, Debug)]
struct Ceilings {
    message_bytes_max: usize,
    partial_bytes_max: usize,
}

/// What begins a chunk, read but not yet obeyed.
struct Start {
    id: u32,
    slot: Option<usize>,
    header: Header,
    extended: Option<u32>,
    /// Length of the header itself.
    bytes: usize,
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
            let Some(start) = self.parse_start(input)? else { return Ok(None) };
            input.advance(start.bytes);
            self.begin_chunk(&start, now)?;
        }
    }

    /// Payload bytes until the next message is whole; `None` between messages. Chunk headers come
    /// on top.
    pub fn missing_bytes(&self) -> Option<usize> {
        let unfinished = self.chunk_streams.iter().filter_map(|chunk_stream| {
            let got = chunk_stream.partial.as_ref()?.len();
            Some(chunk_stream.length - got)
        });
        unfinished.min()
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
    fn parse_start(&self, input: &[u8]) -> Result<Option<Start>, WireError> {
        let mut cursor = Cursor { rest: input };
        let Some(Basic { format, id }) = Basic::parse(&mut cursor) else { return Ok(None) };
        let slot = self.chunk_streams.iter().position(|chunk_stream| chunk_stream.id == id);
        let known = slot.and_then(|slot| self.chunk_streams.get(slot));
        if known.is_none() && format != 0 {
            return Err(WireError::NoHeader { chunk_stream: id });
        }
        let parsed = match known {
            Some(known) if format == 3 => {
                let there = cursor.skip_repeated(known.extended);
                there.map(|()| (Header::Repeat, known.extended))
            }
            _ => Header::parse(format, &mut cursor),
        };
        let Some((header, extended)) = parsed else { return Ok(None) };
        let bytes = input.len() - cursor.rest.len();
        Ok(Some(Start { id, slot, header, extended, bytes }))
    }

    fn begin_chunk(&mut self, start: &Start, now: MonoTime) -> Result<(), WireError> {
        let slot = match start.slot {
            Some(slot) => slot,
            None => self.open_chunk_stream(start.id)?,
        };
        let chunk_stream = self.chunk_streams.get_mut(slot).expect("slots are never removed");
        if chunk_stream.partial.is_some() && start.header != Header::Repeat {
            return Err(WireError::HeaderInMessage { chunk_stream: start.id });
        }
        if chunk_stream.partial.is_none() {
            chunk_stream.begin_message(start);
            self.partial_bytes += self.ceilings.check(chunk_stream.length, self.partial_bytes)?;
        }
        let length = chunk_stream.length;
        let partial = chunk_stream.partial.get_or_insert_with(|| Vec::with_capacity(length));
        let missing = length - partial.len();
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
        // However large: a chunk ends with its message at the latest, and that has its ceiling.
        self.chunk_bytes = usize::try_from(size).unwrap_or(usize::MAX);
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

impl Ceilings {
    /// Answers `length` when a message of it may begin beside `partial` bytes of others.
    fn check(self, length: usize, partial: usize) -> Result<usize, WireError> {
        let max = self.message_bytes_max;
        if length > max {
            return Err(WireError::MessageTooLong { length, max });
        }
        let (bytes, max) = (partial + length, self.partial_bytes_max);
        if bytes > max {
            return Err(WireError::PartialTooLarge { bytes, max });
        }
        Ok(length)
    }
}

impl ChunkStream {
    fn begin_message(&mut self, start: &Start) {
        match start.header {
            Header::Full { timestamp, length, kind, stream } => {
                self.timestamp = timestamp;
                self.delta = timestamp;
                (self.length, self.kind, self.stream) = (length, kind, stream);
            }
            Header::SameStream { delta, length, kind } => {
                self.delta = delta;
                (self.length, self.kind) = (length, kind);
                self.timestamp = self.timestamp.wrapping_add(delta);
            }
            Header::SameLength { delta } => {
                self.delta = delta;
                self.timestamp = self.timestamp.wrapping_add(delta);
            }
            Header::Repeat => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        self.extended = start.extended;
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

fn control_value(payload: &[u8]) -> Result<u32, WireError> {
    Cursor { rest: payload }.u32().ok_or(WireError::ControlTooShort { got: payload.len() })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
