//! An encoder's half of the RTMP framing (Adobe RTMP 1.0, section 5.3), written apart from the
//! server's: headers of both kinds, long timestamps, messages of two tracks woven into each other.

use ghostlight::testing::dice::Dice;

pub(crate) const AUDIO: u8 = 8;
pub(crate) const VIDEO: u8 = 9;
/// A timestamp from here on stands in a field of its own behind the header.
const EXTENDED: u32 = 0x00ff_ffff;

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) stamp: u32,
    pub(crate) body: Vec<u8>,
}

/// A message that fits one chunk of any size that is used here, at time zero.
pub(crate) fn chunk(chunk_stream: u8, kind: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("a short message");
    [&[chunk_stream, 0, 0, 0, 0, 0, length, kind, stream, 0, 0, 0], body].concat()
}

#[derive(Debug)]
pub(crate) struct Chunks {
    size: usize,
    /// The newest stamp of audio and of video.
    last: [Option<u32>; 2],
}

impl Chunks {
    /// Frames messages in chunks of `size`; the bytes are Set Chunk Size, which go first.
    pub(crate) fn begin(size: u16) -> (Self, Vec<u8>) {
        let announced = u32::from(size).to_be_bytes();
        let bytes = [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &announced].concat();
        (Self { size: usize::from(size), last: [None; 2] }, bytes)
    }

    /// All of it as bytes, on message stream 1. Now and then a message is sent in the middle of
    /// the one before it, where that is of the other track.
    pub(crate) fn write(&mut self, messages: &[Message], dice: &mut Dice) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        let mut rest: Vec<Vec<u8>> = Vec::new();
        let mut open = None;
        for message in messages {
            let mut chunks = self.cut(message, dice);
            if open != Some(message.kind) && !rest.is_empty() {
                // The first chunk of this one goes between the first and the others of that one.
                out.extend(chunks.remove(0));
            }
            out.extend(rest.drain(..).flatten());
            open = None;
            if 1 < chunks.len() && dice.chance(40) {
                out.extend(chunks.remove(0));
                open = Some(message.kind);
            }
            if open.is_some() {
                rest = chunks;
            } else {
                out.extend(chunks.into_iter().flatten());
            }
        }
        out.extend(rest.into_iter().flatten());
        out
    }

    fn cut(&mut self, message: &Message, dice: &mut Dice) -> Vec<Vec<u8>> {
        let stream = if message.kind == VIDEO { 6 } else { 4 };
        let slot = &mut self.last[usize::from(message.kind == VIDEO)];
        let step = slot.map(|last| message.stamp.wrapping_sub(last));
        *slot = Some(message.stamp);
        let delta = step.filter(|&step| step < EXTENDED && dice.chance(70));
        let stamp = delta.unwrap_or(message.stamp);
        let long = (EXTENDED <= stamp).then(|| stamp.to_be_bytes());
        let [_, s2, s1, s0] = stamp.min(EXTENDED).to_be_bytes();
        let [_, l2, l1, l0] = u32::try_from(message.body.len()).expect("short").to_be_bytes();
        let mut head = vec![if delta.is_some() { 0x40 | stream } else { stream }];
        head.extend([s2, s1, s0, l2, l1, l0, message.kind]);
        if delta.is_none() {
            head.extend(1_u32.to_le_bytes());
        }
        let mut chunks = Vec::new();
        for piece in message.body.chunks(self.size) {
            head.extend(long.iter().flatten());
            head.extend(piece);
            chunks.push(std::mem::replace(&mut head, vec![0xc0 | stream]));
        }
        chunks
    }
}
