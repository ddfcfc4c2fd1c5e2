//! Aggregate messages (Adobe RTMP 1.0, section 7.1.6): several messages in the body of one.

use bytes::{Buf, Bytes};

use super::wire::{Message, MessageKind};

/// Type, length, timestamp, stream id: what stands before each part, as in an FLV tag.
const PART_HEADER_BYTES: usize = 11;
/// The length of the part before it, after each part.
const BACK_POINTER_BYTES: usize = 4;

/// Walks the parts of one Aggregate message. Each gets an allocation of its own: a slice would keep
/// the whole message in memory for as long as its smallest part is wanted.
///
/// Timestamps of parts count from an origin of their own: the first part stands at the timestamp
/// of the whole message, the others keep their distance to it. Parts belong to the message stream
/// of the whole message whatever they say. A part that is cut off ends the walk, and so does a
/// part that is an Aggregate itself.
#[derive(Debug)]
pub struct Aggregate {
    rest: Bytes,
    timestamp: u32,
    stream: u32,
    /// Added to a part's own timestamp; known from the first part on.
    offset: Option<u32>,
}

impl Aggregate {
    pub fn new(message: &Message) -> Self {
        Self {
            rest: message.payload.clone(),
            timestamp: message.timestamp,
            stream: message.stream,
            offset: None,
        }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.rest.len() < PART_HEADER_BYTES {
            return None;
        }
        let kind = MessageKind::from(self.rest.get_u8());
        let length = usize::try_from(self.rest.get_uint(3)).ok()?;
        let low = u32::try_from(self.rest.get_uint(3)).ok()?;
        // As in FLV, the fourth byte holds the highest eight bits.
        let timestamp = (u32::from(self.rest.get_u8()) << 24) | low;
        self.rest.advance(3);
        if self.rest.len() < length || kind == MessageKind::Aggregate {
            self.rest.clear();
            return None;
        }
        let payload = Bytes::copy_from_slice(&self.rest.split_to(length));
        self.rest.advance(BACK_POINTER_BYTES.min(self.rest.len()));

        let offset = *self.offset.get_or_insert(self.timestamp.wrapping_sub(timestamp));
        let timestamp = timestamp.wrapping_add(offset);
        Some(Message { timestamp, kind, stream: self.stream, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        let [high, t @ ..] = timestamp.to_be_bytes();
        let mut bytes = vec![kind];
        bytes.extend(&length.to_be_bytes()[1..]);
        bytes.extend(t);
        bytes.extend([high, 0, 0, 0]);
        bytes.extend(payload);
        bytes.extend((length + 11).to_be_bytes());
        bytes
    }

    fn unpack(timestamp: u32, bytes: Vec<u8>) -> Vec<(MessageKind, u32, Vec<u8>)> {
        let kind = MessageKind::Aggregate;
        let message = Message { timestamp, kind, stream: 7, payload: Bytes::from(bytes) };
        let parts = Aggregate::new(&message);
        parts
            .map(|part| {
                assert_eq!(part.stream, 7);
                (part.kind, part.timestamp, part.payload.to_vec())
            })
            .collect()
    }

    // R14: parts of an aggregate keep their distance from the first.
    #[test]
    fn parts_keep_their_distance_from_the_first() {
        let bytes = [part(9, 1_000, b"one"), part(8, 1_023, b"two"), part(9, 990, b"")].concat();
        assert_eq!(
            unpack(50_000, bytes),
            [
                (MessageKind::Video, 50_000, b"one".to_vec()),
                (MessageKind::Audio, 50_023, b"two".to_vec()),
                (MessageKind::Video, 49_990, b"".to_vec()),
            ]
        );
    }

    #[test]
    fn part_timestamps_have_32_bits_and_wrap() {
        let bytes = [part(8, 0xFFFF_FFF0, b"a"), part(8, 0x10, b"b")].concat();
        let times: Vec<_> = unpack(5, bytes).into_iter().map(|(_, time, _)| time).collect();
        assert_eq!(times, [5, 0x25]);
    }

    #[test]
    fn the_last_back_pointer_may_be_missing() {
        let mut bytes = part(8, 0, b"abc");
        bytes.truncate(bytes.len() - 4);
        assert_eq!(unpack(0, bytes).len(), 1);
    }

    #[test]
    fn a_broken_or_nested_part_ends_the_walk() {
        let good = part(8, 0, b"abc");
        for cut in 1..part(9, 1, b"defg").len() - 4 {
            let bytes = [&good[..], &part(9, 1, b"defg")[..cut]].concat();
            assert_eq!(unpack(0, bytes).len(), 1, "cut at {cut}");
        }
        assert_eq!(unpack(0, [good.clone(), part(22, 1, &good), good].concat()).len(), 1);
    }
}
