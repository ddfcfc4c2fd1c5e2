//! Fuzz entry point that writes before it reads: whole messages in, cut into chunks and
//! interleaved as the script says, the same messages out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::script::Script;
use crate::base::{Limits, MonoTime};
use crate::rtmp::{Message, MessageKind, Wire};

/// Kinds that the wire hands on as they are.
const KINDS: [u8; 8] = [3, 4, 8, 9, 15, 18, 20, 22];
/// Chunk streams of each form of the basic header (Adobe RTMP 1.0, 5.3.1.1).
const IDS: [u32; 8] = [3, 4, 6, 63, 64, 319, 320, 65_599];
const MESSAGES_MAX: usize = 40;
/// A timestamp that takes four more bytes (5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;

/// Messages on up to eight chunk streams, any times, every form of header that fits: the first
/// half of the script says what is sent, the second how.
///
/// # Panics
/// When the wire finds another message than was written.
pub fn chunks(script: &[u8]) {
    let (what, how) = script.split_at(script.len() / 2);
    let (mut what, mut how) = (Script::new(what), Script::new(how));
    let size = 128 + 16 * usize::from(how.byte());
    let step = usize::from(how.byte()) * 8 + 1;
    let mut lanes: Vec<_> = IDS.into_iter().map(Lane::new).collect();
    for _ in 0..MESSAGES_MAX {
        let lane = usize::from(what.byte()) % lanes.len();
        let message = message(&mut what);
        lanes.get_mut(lane).expect("a lane").waiting.push_back(message);
        if what.is_empty() {
            break;
        }
    }

    let mut sent = BytesMut::from(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..]);
    sent.extend(u32::try_from(size).unwrap_or_default().to_be_bytes());
    let mut expected = Vec::new();
    while lanes.iter().any(|lane| !lane.waiting.is_empty()) {
        let busy: Vec<_> = lanes.iter_mut().filter(|lane| !lane.waiting.is_empty()).collect();
        let turn = usize::from(how.byte()) % busy.len();
        let lane = busy.into_iter().nth(turn).expect("a busy lane");
        expected.extend(lane.write_chunk(&mut how, size, &mut sent));
    }
    assert_eq!(read(&sent, step), expected);
}

fn message(script: &mut Script<'_>) -> Message {
    let timestamp = match script.below(4) {
        0 => script.number(),
        1 => EXTENDED - 1 + u32::from(script.below(3)),
        _ => u32::from(script.byte()) * 40,
    };
    let kind = MessageKind::from(script.pick(&KINDS, 9));
    let stream = u32::from(script.below(3));
    let (seed, length) = (script.byte(), usize::from(script.byte()) * usize::from(script.below(5)));
    // Numbered, so that no two pieces are alike.
    let payload: Vec<_> = (0..length).map(|at| seed.wrapping_add(at.to_le_bytes()[0])).collect();
    Message { timestamp, kind, stream, payload: Bytes::from(payload) }
}

/// One chunk stream of a writer.
struct Lane {
    id: u32,
    waiting: VecDeque<Message>,
    /// Bytes of the first waiting message that are sent.
    done: usize,
    before: Option<Before>,
}

/// What the next header may leave out.
struct Before {
    timestamp: u32,
    /// What a header that states no time adds.
    delta: u32,
    /// The time stood in four bytes of its own, which are repeated.
    extended: bool,
    kind: MessageKind,
    stream: u32,
    length: usize,
}

impl Lane {
    const fn new(id: u32) -> Self {
        Self { id, waiting: VecDeque::new(), done: 0, before: None }
    }

    /// Answers the message that is whole with this chunk.
    fn write_chunk(
        &mut self,
        script: &mut Script<'_>,
        size: usize,
        out: &mut BytesMut,
    ) -> Option<Message> {
        let message = self.waiting.front()?.clone();
        if self.done == 0 {
            self.begin(script, &message, out);
        } else {
            self.basic(3, out);
            if let Some(before) = self.before.as_ref().filter(|before| before.extended) {
                out.extend(before.delta.to_be_bytes());
            }
        }
        let end = message.payload.len().min(self.done + size);
        out.extend(message.payload.get(self.done..end).unwrap_or_default());
        self.done = end;
        if end < message.payload.len() {
            return None;
        }
        self.done = 0;
        self.waiting.pop_front()
    }

    /// The header of a message: the shortest that can say it, or a longer one.
    fn begin(&mut self, script: &mut Script<'_>, message: &Message, out: &mut BytesMut) {
        let shortest = self.before.as_ref().map_or(0, |before| {
            let same = before.kind == message.kind && before.length == message.payload.len();
            let delta = message.timestamp.wrapping_sub(before.timestamp);
            match before.stream == message.stream {
                true if same && delta == before.delta => 3,
                true if same => 2,
                true => 1,
                false => 0,
            }
        });
        let format = shortest - script.below(2).min(shortest);
        let before = self.before.as_ref().map_or(0, |before| before.timestamp);
        let delta = message.timestamp.wrapping_sub(before);
        let field = if format == 0 { message.timestamp } else { delta };
        self.basic(format, out);
        let long = field >= EXTENDED;
        if format < 3 {
            out.extend(field.min(EXTENDED).to_be_bytes().into_iter().skip(1));
        }
        if format < 2 {
            let length = u32::try_from(message.payload.len()).unwrap_or_default();
            out.extend(length.to_be_bytes().into_iter().skip(1));
            out.extend([id_of(message.kind)]);
        }
        if format == 0 {
            out.extend(message.stream.to_le_bytes());
        }
        if long {
            out.extend(field.to_be_bytes());
        }
        self.before = Some(Before {
            timestamp: message.timestamp,
            delta: field,
            extended: long,
            kind: message.kind,
            stream: message.stream,
            length: message.payload.len(),
        });
    }

    fn basic(&self, format: u8, out: &mut BytesMut) {
        let format = format << 6;
        match self.id {
            id @ 2..64 => out.extend([format | id.to_le_bytes()[0]]),
            id @ 64..320 => out.extend([format, (id - 64).to_le_bytes()[0]]),
            id => {
                let [low, high, ..] = (id - 64).to_le_bytes();
                out.extend([format | 1, low, high]);
            }
        }
    }
}

fn id_of(kind: MessageKind) -> u8 {
    KINDS.into_iter().find(|&id| MessageKind::from(id) == kind).unwrap_or_default()
}

fn read(sent: &[u8], step: usize) -> Vec<Message> {
    let mut wire = Wire::new(&Limits::default());
    wire.raise_ceilings();
    let (mut input, mut messages) = (BytesMut::new(), Vec::new());
    for piece in sent.chunks(step) {
        input.extend_from_slice(piece);
        while let Some(message) =
            wire.handle_bytes(&mut input, MonoTime::ZERO).expect("chunks as they should be")
        {
            messages.push(message);
        }
    }
    assert!(input.is_empty(), "{} bytes are left unread", input.len());
    messages
}
