//! Messages to RTMP chunks: the sending half of a connection's framing.

use std::fmt;

use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::{
    MessagePayload, PeerBandwidthLimitType, RtmpMessage, UserControlEventType,
};
use rml_rtmp::time::RtmpTimestamp;

use super::amf::{self, Value};

/// Type id of an AMF0 command (section 7.1.1).
const COMMAND: u8 = 20;

/// Collects messages as the bytes to send. Everything for one peer goes through one writer, in
/// order: chunk headers are compressed against the message before.
pub struct Writer {
    serializer: ChunkSerializer,
    out: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self { serializer: ChunkSerializer::new(), out: Vec::new() }
    }

    /// Announces a chunk size and uses it from here on. 1 to 65,536 bytes.
    pub fn set_chunk_size(&mut self, bytes: u16) {
        // Zero would make the serializer loop for ever.
        let size = u32::from(bytes.max(1));
        let packet = self.serializer.set_max_chunk_size(size, RtmpTimestamp::new(0));
        self.out.extend(packet.expect("16 bits are a legal chunk size").bytes);
    }

    /// A command or an answer to one: name, transaction, object, arguments.
    pub fn command(&mut self, stream: u32, values: &[Value]) {
        let data = Bytes::from(amf::render(values));
        self.raw(0, COMMAND, stream, data);
    }

    /// Any message, with its payload as it is. Payloads are at most 16,777,215 bytes.
    pub fn raw(&mut self, timestamp: u32, type_id: u8, stream: u32, data: Bytes) {
        let timestamp = RtmpTimestamp::new(timestamp);
        let payload = MessagePayload { timestamp, type_id, message_stream_id: stream, data };
        let packet = self.serializer.serialize(&payload, false, false);
        self.out.extend(packet.expect("the payload fits 24 bits of length").bytes);
    }

    /// Section 5.4.4
    pub fn window_acknowledgement(&mut self, bytes: u32) {
        self.control(RtmpMessage::WindowAcknowledgement { size: bytes });
    }

    /// Section 5.4.5
    pub fn peer_bandwidth(&mut self, bytes: u32) {
        let limit_type = PeerBandwidthLimitType::Dynamic;
        self.control(RtmpMessage::SetPeerBandwidth { size: bytes, limit_type });
    }

    /// Section 5.4.3: all bytes received so far, modulo 2^32.
    pub fn acknowledgement(&mut self, received: u32) {
        self.control(RtmpMessage::Acknowledgement { sequence_number: received });
    }

    /// Section 7.1.7
    pub fn stream_begin(&mut self, stream: u32) {
        self.user_control(UserControlEventType::StreamBegin, Some(stream), None);
    }

    /// Section 7.1.7
    pub fn ping_request(&mut self, timestamp: u32) {
        self.user_control(UserControlEventType::PingRequest, None, Some(timestamp));
    }

    /// Section 7.1.7
    pub fn ping_response(&mut self, timestamp: u32) {
        self.user_control(UserControlEventType::PingResponse, None, Some(timestamp));
    }

    /// Whether there is anything to send.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes waiting to be sent.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// The bytes to send since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn user_control(
        &mut self,
        event_type: UserControlEventType,
        stream_id: Option<u32>,
        timestamp: Option<u32>,
    ) {
        let timestamp = timestamp.map(RtmpTimestamp::new);
        let buffer_length = None;
        self.control(RtmpMessage::UserControl { event_type, stream_id, buffer_length, timestamp });
    }

    fn control(&mut self, message: RtmpMessage) {
        let payload = message.into_message_payload(RtmpTimestamp::new(0), 0);
        let payload = payload.expect("control messages have all their fields");
        let packet = self.serializer.serialize(&payload, false, false);
        self.out.extend(packet.expect("control messages are short").bytes);
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.out.len()).finish_non_exhaustive()
    }
}
