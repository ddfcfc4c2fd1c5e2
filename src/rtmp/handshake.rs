//! The server's half of the handshake (Adobe RTMP 1.0, section 5.2), plain and with digest.

use std::fmt;

use bytes::BytesMut;
use rml_rtmp::handshake::{HandshakeProcessResult, PeerType};

use crate::base::Blame;

/// The only version there is; 6 and 8 ask for RTMPE.
const VERSION: u8 = 3;
/// C1 and C2.
const PACKET_BYTES: usize = 1_536;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the first byte is {0:#04x}, which is not RTMP")]
    Version(u8),
    #[error("a handshake packet the library does not understand")]
    Packet,
}

impl HandshakeError {
    pub fn blame(self) -> Blame {
        Blame::Peer
    }
}

/// Where a handshake stands after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send these bytes, which may be none, and read on.
    Going { reply: Vec<u8> },
    /// Send these; what is left of the input is the first chunk.
    Done { reply: Vec<u8> },
}

/// Takes C0 to C2 from a peer and answers S0 to S2. The library sees nothing but whole packets
/// with the right version byte, so what it may be given is bounded here.
pub struct Handshake {
    library: rml_rtmp::handshake::Handshake,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Hello,
    Echo,
}

impl Handshake {
    pub fn new() -> Self {
        Self { library: rml_rtmp::handshake::Handshake::new(PeerType::Server), stage: Stage::Hello }
    }

    /// Takes whole packets from the front of `input` and nothing after them.
    pub fn handle_bytes(&mut self, input: &mut BytesMut) -> Result<Progress, HandshakeError> {
        let mut reply = Vec::new();
        if self.stage == Stage::Hello {
            if let Some(&version) = input.first()
                && version != VERSION
            {
                return Err(HandshakeError::Version(version));
            }
            if input.len() < 1 + PACKET_BYTES {
                return Ok(Progress::Going { reply });
            }
            reply.extend(self.process(&input.split_to(1 + PACKET_BYTES))?);
            self.stage = Stage::Echo;
        }
        if input.len() < PACKET_BYTES {
            return Ok(Progress::Going { reply });
        }
        reply.extend(self.process(&input.split_to(PACKET_BYTES))?);
        Ok(Progress::Done { reply })
    }

    fn process(&mut self, packets: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        match self.library.process_bytes(packets) {
            Ok(HandshakeProcessResult::InProgress { response_bytes }) => Ok(response_bytes),
            Ok(HandshakeProcessResult::Completed { response_bytes, .. }) => Ok(response_bytes),
            Err(_) => Err(HandshakeError::Packet),
        }
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a whole handshake with `hello` (C0 and C1) in pieces of `step`, an arbitrary C2, and
    /// three bytes of what follows. Answers S0 to S2.
    fn run(hello: &[u8], step: usize) -> Vec<u8> {
        let mut handshake = Handshake::new();
        let (mut input, mut replies) = (BytesMut::new(), Vec::new());
        let bytes = [hello, &[7; PACKET_BYTES]].concat();
        for (index, piece) in bytes.chunks(step).enumerate() {
            input.extend_from_slice(piece);
            let last = (index + 1) * step >= bytes.len();
            if last {
                input.extend_from_slice(b"abc");
            }
            match handshake.handle_bytes(&mut input).unwrap() {
                Progress::Going { reply } => {
                    assert!(!last);
                    replies.extend(reply);
                }
                Progress::Done { reply } => {
                    assert!(last);
                    replies.extend(reply);
                }
            }
        }
        assert_eq!(&input[..], b"abc");
        assert_eq!(replies.len(), 1 + 2 * PACKET_BYTES);
        assert_eq!(replies[0], VERSION);
        replies
    }

    // R1, R2: the plain handshake echoes C1, also when its version field is not zero.
    #[test]
    fn plain_in_pieces_of_any_size() {
        for version in [[0; 4], [9, 0, 124, 2], [1, 2, 3, 4]] {
            let mut hello = vec![VERSION, 0, 0, 0, 1];
            hello.extend(version);
            hello.extend((8..PACKET_BYTES).map(|i| i.to_le_bytes()[0]));
            for step in [1, 2, 1_535, 1_536, 1_537, 1_538, 10_000] {
                let replies = run(&hello, step);
                assert_eq!(replies[1 + PACKET_BYTES..], hello[1..]);
            }
        }
    }

    // R1: the digest handshake signs its answer instead.
    #[test]
    fn digest() {
        let mut client = rml_rtmp::handshake::Handshake::new(PeerType::Client);
        let hello = client.generate_outbound_p0_and_p1().unwrap();
        let replies = run(&hello, 1);
        assert_ne!(replies[1 + PACKET_BYTES..], hello[1..]);
        let done = client.process_bytes(&replies).unwrap();
        assert!(matches!(done, HandshakeProcessResult::Completed { .. }));
    }

    // R1: other versions are seen in the first byte.
    #[test]
    fn other_versions_are_seen_in_the_first_byte() {
        for version in [0, 2, 4, 6, 8, 0x16, b'G', 0xFF] {
            let mut input = BytesMut::from(&[version][..]);
            let error = Handshake::new().handle_bytes(&mut input);
            assert_eq!(error, Err(HandshakeError::Version(version)));
        }
    }

    // Z1: bytes that are no handshake still end in an answer.
    #[test]
    fn random_packets_are_answered() {
        let mut state = 1_u32;
        for _ in 0..200 {
            let mut hello = vec![VERSION];
            hello.resize_with(1 + PACKET_BYTES, || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            run(&hello, 2_000);
        }
    }
}
