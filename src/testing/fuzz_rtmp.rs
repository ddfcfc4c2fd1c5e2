use bytes::{Bytes, BytesMut};

use super::clips;
use crate::base::{Limits, MonoTime};
use crate::rtmp::amf::{self, Value};
use crate::rtmp::{Event, Message, Session, Settings, Wire, Writer};

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

/// Plays a good publish, in which `changes` overwrites single bytes: two bytes of place, one of
/// value. The session may end it, but must neither panic nor say more than it hears.
///
/// # Panics
/// When the answers grow out of proportion.
pub fn session(changes: &[u8]) {
    let mut bytes = publish_script();
    for change in changes.chunks_exact(3) {
        let &[high, low, value] = change else { continue };
        let place = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        if let Some(byte) = bytes.get_mut(place) {
            *byte = value;
        }
    }
    let limits = Limits::default();
    let mut wire = Wire::new(&limits);
    let mut session = Session::new(&limits, &Settings::default(), MonoTime::ZERO);
    let heard = bytes.len();
    session.handle_received(heard, MonoTime::ZERO);
    let (mut input, mut said) = (BytesMut::from(&bytes[..]), 0);
    while let Ok(Some(message)) = wire.handle_bytes(&mut input, MonoTime::ZERO) {
        if !handle(&mut session, &mut wire, message) {
            break;
        }
        said += session.take_output().len();
    }
    said += session.take_output().len();
    assert!(said <= 4_096 + 40 * heard, "{said} bytes said, {heard} heard");
}

/// False: the session has ended.
fn handle(session: &mut Session, wire: &mut Wire, message: Message) -> bool {
    if let Err(cause) = session.handle_message(message, MonoTime::ZERO) {
        session.refuse(&cause);
        return false;
    }
    while let Some(event) = session.next_event() {
        if matches!(event, Event::PublishAsked(_)) {
            wire.raise_ceilings();
            session.accept_publish(MonoTime::ZERO);
        }
    }
    session.handle_time(MonoTime::ZERO).is_ok()
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
