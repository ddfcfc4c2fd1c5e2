use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::clips;
use crate::base::{Limits, MonoTime};
use crate::media::{Intake, TrackKind};
use crate::rtmp::amf::{self, Value};
use crate::rtmp::{Event, Handshake, Message, Progress, Session, Settings, Wire, Writer};

/// The longest chunk header: three bytes, eleven, and four of an extended timestamp.
const HEADER_BYTES_MAX: usize = 18;

/// Reads any bytes as chunks. The first byte says in which pieces the rest arrives, and whether
/// `publish` was accepted.
///
/// # Panics
/// When a message is longer than allowed, or more than a header stays unread.
pub fn wire(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let limits = Limits::default();
    let mut wire = Wire::new(&limits);
    let mut longest = limits.message_before_publish_bytes_max;
    if how & 1 == 1 {
        wire.raise_ceilings();
        longest = limits.message_bytes_max;
    }
    let mut input = BytesMut::new();
    for piece in bytes.chunks(usize::from(how >> 1) + 1) {
        input.extend_from_slice(piece);
        loop {
            match wire.handle_bytes(&mut input, MonoTime::ZERO) {
                Ok(Some(message)) => assert!(message.payload.len() <= longest),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(input.len() <= HEADER_BYTES_MAX, "{} bytes are left unread", input.len());
    }
}

/// Reads any bytes as AMF0.
///
/// # Panics
/// When more values come out than one message may have, or when what was read without error is
/// not what is read from its own rendering.
pub fn amf(bytes: &[u8]) {
    let limits = Limits::default();
    let parsed = amf::parse(bytes, &limits);
    assert!(parsed.values.len() <= limits.amf_values_max);
    if parsed.error.is_none() {
        // Dates and repeated names are not written as they came, so the second reading counts.
        let once = amf::parse(&amf::render(&parsed.values), &limits).values;
        let twice = amf::parse(&amf::render(&once), &limits).values;
        assert_eq!(format!("{:?}", sorted(once)), format!("{:?}", sorted(twice)));
    }
}

/// Takes any bytes as a peer's handshake, in the pieces that the first byte says.
///
/// # Panics
/// When the pieces change what the handshake makes of the bytes, or it answers out of proportion.
pub fn handshake(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let whole = shake(bytes, bytes.len().max(1));
    assert_eq!(shake(bytes, usize::from(how) + 1), whole);
    // S0, S1 and S2; what follows C2 belongs to the chunks.
    let hello = 1 + 2 * 1_536;
    assert!(
        whole.is_none_or(|(said, left)| said <= hello && left <= bytes.len().saturating_sub(hello))
    );
}

/// How many bytes the handshake answered and how many it left; none when it refused.
fn shake(bytes: &[u8], step: usize) -> Option<(usize, usize)> {
    let mut handshake = Handshake::new();
    let (mut input, mut said, mut done) = (BytesMut::new(), 0, false);
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        if !done {
            let progress = handshake.handle_bytes(&mut input).ok()?;
            let (Progress::Going { reply } | Progress::Done { reply }) = &progress;
            said += reply.len();
            done = matches!(progress, Progress::Done { .. });
        }
    }
    Some((said, if done { input.len() } else { 0 }))
}

/// Plays a good publish, in which `changes` overwrites single bytes: two bytes of place, one of
/// value.
///
/// # Panics
/// As [`conn`].
pub fn session(changes: &[u8]) {
    let mut bytes = publish_script();
    for change in changes.chunks_exact(3) {
        let &[high, low, value] = change else { continue };
        let place = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        if let Some(byte) = bytes.get_mut(place) {
            *byte = value;
        }
    }
    Peer::default().play(&bytes, bytes.len());
}

/// Takes any bytes as what a peer sends after the handshake, to the frames that come of it. The
/// first byte says in which pieces they arrive, a millisecond apart.
///
/// # Panics
/// When the answers grow out of proportion, or a frame comes without its configuration.
pub fn conn(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    Peer::default().play(bytes, 16 * usize::from(how) + 1);
}

/// The server's end of one connection, without a socket and without a hub.
struct Peer {
    wire: Wire,
    session: Session,
    intake: Intake,
    now: MonoTime,
    heard: usize,
    said: usize,
}

impl Default for Peer {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            wire: Wire::new(&limits),
            session: Session::new(&limits, &Settings::default(), MonoTime::ZERO),
            intake: Intake::new(&limits),
            now: MonoTime::ZERO,
            heard: 0,
            said: 0,
        }
    }
}

impl Peer {
    /// To the end of the bytes, or of the session.
    fn play(&mut self, bytes: &[u8], step: usize) {
        let mut input = BytesMut::new();
        for piece in bytes.chunks(step) {
            self.now = self.now + Duration::from_millis(1);
            self.heard += piece.len();
            self.session.handle_received(piece.len(), self.now);
            input.extend_from_slice(piece);
            while let Ok(Some(message)) = self.wire.handle_bytes(&mut input, self.now) {
                let goes_on = self.handle(message);
                self.said += self.session.take_output().len();
                let (said, heard) = (self.said, self.heard);
                assert!(said <= 4_096 + 40 * heard, "{said} bytes said, {heard} heard");
                if !goes_on {
                    return;
                }
            }
        }
    }

    /// False: the session has ended.
    fn handle(&mut self, message: Message) -> bool {
        if let Err(cause) = self.session.handle_message(message, self.now) {
            self.session.refuse(&cause);
            return false;
        }
        while let Some(event) = self.session.next_event() {
            let taken = match event {
                Event::PublishAsked(_) => {
                    self.wire.raise_ceilings();
                    self.session.accept_publish(self.now);
                    Ok(())
                }
                Event::Video { timestamp, body } => {
                    self.intake.handle_video(timestamp, body, self.now)
                }
                Event::Audio { timestamp, body } => {
                    self.intake.handle_audio(timestamp, body, self.now)
                }
                Event::Metadata(_) | Event::PublishEnded => Ok(()),
            };
            while let Some(frame) = self.intake.next_frame() {
                let known = match frame.track {
                    TrackKind::Video => frame.format.video.is_some(),
                    TrackKind::Audio => frame.format.audio.is_some(),
                };
                assert!(known, "a frame comes with its configuration");
            }
            if taken.is_err() {
                return false;
            }
        }
        self.session.handle_time(self.now).is_ok()
    }
}

/// What an encoder sends from `connect` to the end, in chunks.
fn publish_script() -> Vec<u8> {
    let mut writer = Writer::new();
    let call = |writer: &mut Writer, stream, name: &str, number: f64, rest: &[Value]| {
        writer.command(stream, &[&[Value::from(name), Value::from(number)], rest].concat());
    };
    let app = Value::object([("app", Value::from("live")), ("capsEx", Value::from(1.0))]);
    call(&mut writer, 0, "connect", 1.0, &[app]);
    writer.set_chunk_size(256);
    writer.window_acknowledgement(1_000);
    call(&mut writer, 0, "releaseStream", 2.0, &[Value::Null, Value::from("key")]);
    call(&mut writer, 0, "FCPublish", 3.0, &[Value::Null, Value::from("key")]);
    call(&mut writer, 0, "createStream", 4.0, &[Value::Null]);
    let publish = [Value::Null, Value::from("key"), Value::from("live")];
    call(&mut writer, 1, "publish", 5.0, &publish);
    let metadata = Value::object([("width", Value::from(640.0))]);
    let data = ["@setDataFrame", "onMetaData"].map(Value::from);
    let data = amf::render(&[&data[..], &[metadata]].concat());
    writer.raw(0, 18, 1, Bytes::from(data));
    writer.raw(0, 9, 1, clips::avc_config());
    writer.raw(0, 8, 1, clips::aac_config());
    for millis in [0, 40, 0xFF_FFFF, 0xFF_FFFF + 40] {
        writer.raw(millis, 9, 1, clips::avc_frame(millis == 0, 600));
        writer.raw(millis, 8, 1, clips::aac_frame(50));
        writer.ping_request(millis);
    }
    let part = [8, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0xAF, 0, 0, 0, 12];
    writer.raw(80, 22, 1, Bytes::from(part.repeat(4)));
    call(&mut writer, 0, "FCUnpublish", 6.0, &[Value::Null, Value::from("key")]);
    call(&mut writer, 0, "deleteStream", 7.0, &[Value::Null, Value::from(1.0)]);
    writer.take()
}

/// Rendering keeps no order of names.
fn sorted(values: Vec<Value>) -> Vec<Value> {
    values.into_iter().map(sort).collect()
}

fn sort(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut pairs: Vec<_> =
                object.iter().map(|(name, value)| (name, sort(value.clone()))).collect();
            pairs.sort_by_key(|(name, _)| *name);
            Value::object(pairs)
        }
        Value::Array(items) => Value::Array(sorted(items)),
        Value::Number(_)
        | Value::Boolean(_)
        | Value::String(_)
        | Value::Date(_)
        | Value::Null
        | Value::Undefined => value,
    }
}
