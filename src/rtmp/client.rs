//! The publishing end of RTMP: what an encoder does towards a server.
//!
//! [`Publisher`] is the protocol as a plain value: bytes and times in, bytes out. [`Link`] drives
//! one over a TCP connection. Both end with the server's own code and words when it says no.

mod commands;
mod link;
mod target;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

use super::wire::{Message, MessageKind, Wire, WireError};
use crate::base::{Blame, Limits, MonoTime};

use commands::{Reply, Status, Transaction};
pub use link::Link;
pub use target::{Target, TargetError};

/// Our outgoing chunk size: a frame of a few megabits fits into one chunk, and a reader that
/// reserves a whole chunk reserves little.
const CHUNK_BYTES: u32 = 65_536;
/// Longest message a three-byte length field can announce (Adobe RTMP 1.0, section 5.3.1.2.1).
const MESSAGE_BYTES_MAX: usize = 0xFF_FFFF;
/// User control events (section 7.1.7): the server asks, we answer.
const PING_REQUEST: [u8; 2] = [0, 6];
const PING_RESPONSE: [u8; 2] = [0, 7];

/// What of a file or a live source goes into one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
    /// The body of a script tag, `onMetaData` and its values; it is sent as `@setDataFrame`.
    Metadata,
}

/// How far the publisher has come. The server may end it in every step.
///
/// ```text
/// Handshake ── S2 ──> Connect ── _result ──> CreateStream ── _result ──> Publish
///     Publish ── onStatus Publish.Start ──> Live ── finish() ──> Finished
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Handshake,
    Connect,
    CreateStream,
    Publish,
    Live,
    Finished,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the handshake",
            Self::Connect => "connect",
            Self::CreateStream => "createStream",
            Self::Publish => "publish",
            Self::Live => "the broadcast",
            Self::Finished => "the end",
        })
    }
}

/// Why a publication did not begin, or ended. No text in it holds the key.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot reach {authority}: {cause}")]
    Unreachable { authority: String, cause: std::io::Error },
    #[error("the connection broke during {step}: {cause}")]
    Broken { step: Step, cause: std::io::Error },
    #[error("the server closed the connection during {step}")]
    Closed { step: Step },
    #[error("the server did not answer within {} s during {step}", after.as_secs_f64())]
    TimedOut { step: Step, after: Duration },
    #[error("the server has taken nothing for {} s", after.as_secs_f64())]
    Stalled { after: Duration },
    #[error("the server refused {step}: {status}")]
    Refused { step: Step, status: Status },
    #[error("the server ended the broadcast: {status}")]
    Ended { status: Status },
    #[error("the other end does not speak RTMP: its handshake is wrong")]
    Handshake,
    #[error("the server broke the protocol: {0}")]
    Wire(#[from] WireError),
    #[error("the server's reply to {step} cannot be read")]
    Reply { step: Step },
    #[error("a message of {got} bytes, {MESSAGE_BYTES_MAX} are possible")]
    MessageTooLong { got: usize },
    #[error("nothing can be sent during {step}")]
    NotLive { step: Step },
}

impl ClientError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Closed { .. }
            | Self::TimedOut { .. }
            | Self::Stalled { .. }
            | Self::Refused { .. }
            | Self::Ended { .. }
            | Self::Handshake
            | Self::Wire(_)
            | Self::Reply { .. } => Blame::Upstream,
            Self::MessageTooLong { .. } | Self::NotLive { .. } => Blame::Us,
        }
    }
}

/// One publication towards one server. The owner moves bytes: what [`Publisher::next_output`]
/// yields goes out in order, what comes in goes to [`Publisher::handle_bytes`], and
/// [`Publisher::handle_tick`] hears the time at least once a second until it is live. After an
/// error the value is spent.
pub struct Publisher {
    target: Target,
    limits: Limits,
    step: Step,
    step_since: MonoTime,
    handshake: Handshake,
    wire: Wire,
    input: BytesMut,
    serializer: ChunkSerializer,
    output: VecDeque<Bytes>,
    /// The message stream `createStream` gave us.
    stream: u32,
    received: Received,
}

/// What the server wants acknowledged (section 5.4.3).
#[derive(Debug, Default)]
struct Received {
    /// All bytes after the handshake, modulo 2^32.
    total: u32,
    acknowledged: u32,
    window: Option<u32>,
}

impl Publisher {
    /// Starts the handshake; the first bytes are waiting in [`Publisher::next_output`].
    pub fn new(target: Target, limits: &Limits, now: MonoTime) -> Self {
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake
            .generate_outbound_p0_and_p1()
            .expect("a fresh handshake writes into memory of fixed size");
        Self {
            target,
            limits: limits.clone(),
            step: Step::Handshake,
            step_since: now,
            handshake,
            wire: Wire::new(limits),
            input: BytesMut::new(),
            serializer: ChunkSerializer::new(),
            output: VecDeque::from([Bytes::from(hello)]),
            stream: 0,
            received: Received::default(),
        }
    }

    /// Takes what arrived. An error is the end, and tells the server's reason where it gave one.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: MonoTime) -> Result<(), ClientError> {
        if self.step == Step::Handshake {
            let rest = self.continue_handshake(bytes, now)?;
            self.take_chunks(&rest, now)
        } else {
            self.take_chunks(bytes, now)
        }
    }

    /// Fails when the server has owed an answer for too long.
    pub fn handle_tick(&mut self, now: MonoTime) -> Result<(), ClientError> {
        let after = match self.step {
            Step::Handshake => self.limits.handshake_time_max,
            Step::Connect | Step::CreateStream => self.limits.connect_time_max,
            Step::Publish => self.limits.publish_time_max,
            Step::Live | Step::Finished => return Ok(()),
        };
        if now.since(self.step_since) < after {
            return Ok(());
        }
        Err(ClientError::TimedOut { step: self.step, after })
    }

    /// Queues one message of media. Every one carries its full header and absolute timestamp, so
    /// time may also go back, which deltas cannot say.
    pub fn write(
        &mut self,
        kind: MediaKind,
        timestamp: u32,
        body: Bytes,
    ) -> Result<(), ClientError> {
        if self.step != Step::Live {
            return Err(ClientError::NotLive { step: self.step });
        }
        match kind {
            MediaKind::Audio => self.send(8, timestamp, self.stream, body),
            MediaKind::Video => self.send(9, timestamp, self.stream, body),
            MediaKind::Metadata => {
                self.send(18, timestamp, self.stream, commands::set_data_frame(&body))
            }
        }
    }

    /// Queues the goodbye: the server can end the broadcast at once instead of waiting for us.
    pub fn finish(&mut self, now: MonoTime) -> Result<(), ClientError> {
        if self.step == Step::Live || self.step == Step::Publish {
            let key = self.target.key.clone();
            self.send_command(commands::fc_unpublish(&key))?;
            self.send_command(commands::delete_stream(self.stream))?;
        }
        self.enter(Step::Finished, now);
        Ok(())
    }

    /// The next bytes to write, in order.
    pub fn next_output(&mut self) -> Option<Bytes> {
        self.output.pop_front()
    }

    pub fn step(&self) -> Step {
        self.step
    }

    fn enter(&mut self, step: Step, now: MonoTime) {
        self.step = step;
        self.step_since = now;
    }

    fn continue_handshake(&mut self, bytes: &[u8], now: MonoTime) -> Result<Vec<u8>, ClientError> {
        let result = self.handshake.process_bytes(bytes).map_err(|_| ClientError::Handshake)?;
        match result {
            HandshakeProcessResult::InProgress { response_bytes } => {
                self.queue(response_bytes);
                Ok(Vec::new())
            }
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                self.queue(response_bytes);
                self.send_command(commands::connect(&self.target))?;
                self.enter(Step::Connect, now);
                Ok(remaining_bytes)
            }
        }
    }

    fn take_chunks(&mut self, bytes: &[u8], now: MonoTime) -> Result<(), ClientError> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.received.total = self.received.total.wrapping_add(length);
        self.input.extend_from_slice(bytes);
        while let Some(message) = self.wire.handle_bytes(&mut self.input, now)? {
            self.handle_message(&message, now)?;
        }
        self.acknowledge()
    }

    fn handle_message(&mut self, message: &Message, now: MonoTime) -> Result<(), ClientError> {
        match message.kind {
            MessageKind::WindowAcknowledgement => {
                self.received.window =
                    message.payload.first_chunk().copied().map(u32::from_be_bytes);
                Ok(())
            }
            MessageKind::UserControl => match message.payload.split_first_chunk() {
                Some((&PING_REQUEST, stamp)) => {
                    self.send(4, 0, 0, [&PING_RESPONSE, stamp].concat().into())
                }
                _ => Ok(()),
            },
            MessageKind::Command | MessageKind::CommandAmf3 => self.handle_command(message, now),
            MessageKind::SetChunkSize
            | MessageKind::Abort
            | MessageKind::Acknowledgement
            | MessageKind::PeerBandwidth
            | MessageKind::Audio
            | MessageKind::Video
            | MessageKind::Data
            | MessageKind::DataAmf3
            | MessageKind::Aggregate
            | MessageKind::Other(_) => Ok(()),
        }
    }

    fn handle_command(&mut self, message: &Message, now: MonoTime) -> Result<(), ClientError> {
        let reply = commands::parse_reply(message, &self.limits, &self.target.key)
            .ok_or(ClientError::Reply { step: self.step })?;
        match (self.step, reply) {
            (Step::Connect, Reply::Result(Transaction::Connect, _)) => self.create_stream(now),
            (Step::CreateStream, Reply::Result(Transaction::CreateStream, stream)) => {
                self.stream = stream.ok_or(ClientError::Reply { step: self.step })?;
                self.send_command(commands::publish(&self.target.key, self.stream))?;
                self.enter(Step::Publish, now);
                Ok(())
            }
            (Step::Publish, Reply::Status(status)) if status.is_publish_start() => {
                self.enter(Step::Live, now);
                Ok(())
            }
            (Step::Connect, Reply::Error(Transaction::Connect, status))
            | (Step::CreateStream, Reply::Error(Transaction::CreateStream, status))
            | (Step::Publish, Reply::Error(Transaction::Publish, status)) => {
                Err(ClientError::Refused { step: self.step, status })
            }
            (Step::Live, Reply::Status(status)) if status.is_error() => {
                Err(ClientError::Ended { status })
            }
            (Step::Connect | Step::CreateStream | Step::Publish, Reply::Status(status))
                if status.is_error() =>
            {
                Err(ClientError::Refused { step: self.step, status })
            }
            // Answers to what need not be answered (releaseStream, FCPublish), news that are no
            // end (level status or warning), and calls of ours to make (onBWDone).
            (_, Reply::Result(..) | Reply::Error(..) | Reply::Status(_) | Reply::Other) => Ok(()),
        }
    }

    fn create_stream(&mut self, now: MonoTime) -> Result<(), ClientError> {
        let packet = self
            .serializer
            .set_max_chunk_size(CHUNK_BYTES, RtmpTimestamp::new(0))
            .expect("the size is below 2^31 and the message is four bytes");
        self.queue(packet.bytes);
        let key = self.target.key.clone();
        self.send_command(commands::release_stream(&key))?;
        self.send_command(commands::fc_publish(&key))?;
        self.send_command(commands::create_stream())?;
        self.enter(Step::CreateStream, now);
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), ClientError> {
        let Received { total, acknowledged, window } = self.received;
        if window.is_none_or(|window| total.wrapping_sub(acknowledged) < window) {
            return Ok(());
        }
        self.received.acknowledged = total;
        self.send(3, 0, 0, Bytes::copy_from_slice(&total.to_be_bytes()))
    }

    fn send_command(&mut self, command: commands::Command) -> Result<(), ClientError> {
        self.send(20, 0, command.stream, command.body)
    }

    fn send(
        &mut self,
        type_id: u8,
        timestamp: u32,
        stream: u32,
        data: Bytes,
    ) -> Result<(), ClientError> {
        let got = data.len();
        if got > MESSAGE_BYTES_MAX {
            return Err(ClientError::MessageTooLong { got });
        }
        let timestamp = RtmpTimestamp::new(timestamp);
        let message = MessagePayload { timestamp, type_id, message_stream_id: stream, data };
        // "Droppable" makes the serializer begin the next message with a full header.
        let packet = self
            .serializer
            .serialize(&message, false, true)
            .expect("the length was checked and memory takes every byte");
        self.queue(packet.bytes);
        Ok(())
    }

    fn queue(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.output.push_back(Bytes::from(bytes));
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("target", &self.target)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
