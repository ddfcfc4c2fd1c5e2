use bytes::BytesMut;
use std::time::Duration;

use super::super::wire::Wire;
use super::*;

const KEY: &str = "kid_SECRETSECRETSECRET";

/// A peer that hands whole messages to a session and reads its answers.
struct Peer {
    session: Session,
    wire: Wire,
    now: MonoTime,
}

impl Peer {
    fn new() -> Self {
        let limits = Limits::default();
        Self {
            session: Session::new(&limits, &Settings::default(), MonoTime::ZERO),
            wire: Wire::new(&limits),
            now: MonoTime::ZERO,
        }
    }

    fn connected() -> Self {
        let mut peer = Self::new();
        peer.call(0, &[Value::from("connect"), Value::from(1.0), connect_object("live")]);
        peer.read();
        peer
    }

    fn publishing() -> Self {
        let mut peer = Self::connected();
        peer.call(0, &[Value::from("createStream"), Value::from(4.0), Value::Null]);
        peer.publish(1, KEY);
        assert!(matches!(peer.session.next_event(), Some(Event::PublishAsked(_))));
        peer.session.accept_publish(peer.now);
        peer.read();
        peer
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn send(&mut self, kind: u8, stream: u32, payload: &[u8]) -> Result<(), Cause> {
        let payload = Bytes::copy_from_slice(payload);
        let kind = MessageKind::from(kind);
        self.session.handle_message(Message { timestamp: 0, kind, stream, payload }, self.now)
    }

    fn try_call(&mut self, stream: u32, values: &[Value]) -> Result<(), Cause> {
        self.send(20, stream, &amf::render(values))
    }

    fn call(&mut self, stream: u32, values: &[Value]) {
        self.try_call(stream, values).expect("the session goes on");
    }

    fn publish(&mut self, stream: u32, name: &str) {
        let values = ["publish", name, "live"].map(Value::from);
        let [command, name, kind] = values;
        self.call(stream, &[command, Value::from(5.0), Value::Null, name, kind]);
    }

    /// What the session answered, one line for each message.
    fn read(&mut self) -> Vec<String> {
        let mut bytes = BytesMut::from(&self.session.take_output()[..]);
        let mut lines = Vec::new();
        while let Some(message) = self.wire.handle_bytes(&mut bytes, self.now).unwrap() {
            lines.push(line(&message));
        }
        assert!(bytes.is_empty());
        lines
    }
}

fn line(message: &Message) -> String {
    if message.kind != MessageKind::Command {
        let number = first_u32(message.payload.get(2..).unwrap_or_default());
        return if message.kind == MessageKind::UserControl {
            format!("event {} {}", message.payload[1], number.unwrap_or(0))
        } else {
            format!("{:?} {}", message.kind, first_u32(&message.payload).unwrap_or(0))
        };
    }
    let values = amf::parse(&message.payload, &Limits::default()).values;
    let words = values.iter().map(|value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(object) => {
            let level = object.str("level").unwrap_or("object");
            format!("{level} {}", object.str("code").unwrap_or("")).trim().to_owned()
        }
        Value::Boolean(_) | Value::Array(_) | Value::Date(_) | Value::Null | Value::Undefined => {
            format!("{value:?}").to_lowercase()
        }
    });
    format!("{}: {}", message.stream, words.collect::<Vec<_>>().join(" "))
}

fn connect_object(app: &str) -> Value {
    let url = format!("rtmp://host/{app}");
    Value::object([
        ("app", Value::from(app)),
        ("type", Value::from("nonprivate")),
        ("flashVer", Value::from("FMLE/3.0 (compatible; FMSc/1.0)\n\u{e9}")),
        ("swfUrl", Value::from(url.as_str())),
        ("tcUrl", Value::from(url.as_str())),
    ])
}

fn asked(peer: &mut Peer) -> PublishAsked {
    match peer.session.next_event() {
        Some(Event::PublishAsked(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

// R37: the order of commands as OBS, FFmpeg, GStreamer and librtmp send them, all answered.
#[test]
fn encoders_are_answered_in_their_own_order() {
    let start = ["event 0 1", "1: onStatus 0 null status NetStream.Publish.Start"];
    for (script, answers) in [
        // OBS and librtmp
        (
            &["releaseStream", "FCPublish", "createStream"][..],
            &["0: _result 2 null undefined", "0: _result 3 null undefined", "0: _result 4 null 1"]
                [..],
        ),
        // FFmpeg
        (
            &["releaseStream", "FCPublish", "createStream", "_checkbw"],
            &[
                "0: _result 2 null undefined",
                "0: _result 3 null undefined",
                "0: _result 4 null 1",
                "0: _result 5 null undefined",
            ],
        ),
        // GStreamer's rtmp2sink
        (
            &["releaseStream", "FCPublish", "createStream", "getStreamLength"],
            &[
                "0: _result 2 null undefined",
                "0: _result 3 null undefined",
                "0: _result 4 null 1",
                "0: _result 5 null 0",
            ],
        ),
        // The least there is
        (&["createStream"], &["0: _result 2 null 1"]),
    ] {
        let mut peer = Peer::new();
        peer.call(0, &[Value::from("connect"), Value::from(1.0), connect_object("live")]);
        assert_eq!(
            peer.read(),
            [
                "WindowAcknowledgement 2500000",
                "PeerBandwidth 2500000",
                "event 0 0",
                "0: _result 1 object status NetConnection.Connect.Success",
            ]
        );
        for (command, transaction) in script.iter().zip(2_u8..) {
            let values = [Value::from(*command), Value::from(f64::from(transaction))];
            peer.call(0, &[&values[..], &[Value::Null, Value::from(KEY)]].concat());
        }
        assert_eq!(peer.read(), answers);
        peer.publish(1, KEY);
        assert!(peer.read().is_empty());
        let asked = asked(&mut peer);
        assert_eq!(asked.key, Ok(Secret::new(KEY)));
        assert_eq!(asked.encoder.as_deref(), Some("FMLE/3.0 (compatible; FMSc/1.0)"));
        assert!(!asked.wants_recording);
        peer.session.accept_publish(peer.now);
        assert_eq!(peer.read(), start);
    }
}

// The reply names what may be sent by FourCC (Enhanced RTMP).
#[test]
fn connect_is_answered_with_capabilities() {
    let mut peer = Peer::new();
    peer.call(0, &[Value::from("connect"), Value::from(1.0), connect_object("live")]);
    let mut bytes = BytesMut::from(&peer.session.take_output()[..]);
    let mut last = None;
    while let Some(message) = peer.wire.handle_bytes(&mut bytes, peer.now).unwrap() {
        last = Some(message);
    }
    let values = amf::parse(&last.unwrap().payload, &Limits::default()).values;
    let server = values[2].as_object().unwrap();
    let Some(Value::Array(codes)) = server.get("fourCcList") else { panic!() };
    assert!(codes.contains(&Value::from("hvc1")) && codes.contains(&Value::from("Opus")));
    let map = server.get("videoFourCcInfoMap").and_then(Value::as_object).unwrap();
    assert_eq!(map.number("av01"), Some(4.0));
    assert_eq!(server.number("capsEx"), Some(7.0));
}

// R33: the key may stand in the app, and is the same key there.
#[test]
fn the_key_may_stand_in_the_app() {
    let mut peer = Peer::new();
    let app = format!("live/{KEY}/");
    peer.call(0, &[Value::from("connect"), Value::from(1.0), connect_object(&app)]);
    peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
    peer.publish(1, "");
    assert_eq!(asked(&mut peer).key, Ok(Secret::new(KEY)));
}

// R36: both messages, and the name, which may be a misplaced key, comes back in neither.
#[test]
fn an_unknown_app_is_refused_twice() {
    let mut peer = Peer::new();
    let connect = [Value::from("connect"), Value::from(1.0), connect_object(KEY)];
    let cause = peer.try_call(0, &connect).unwrap_err();
    assert_eq!(cause, Cause::AppUnknown);
    peer.session.refuse(&cause);
    let bytes = peer.session.take_output();
    assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
    let (mut input, mut lines) = (BytesMut::from(&bytes[..]), Vec::new());
    while let Some(message) = peer.wire.handle_bytes(&mut input, peer.now).unwrap() {
        lines.push(line(&message));
    }
    assert_eq!(
        lines,
        [
            "0: _error 1 null error NetConnection.Connect.InvalidApp",
            "0: onStatus 0 null error NetConnection.Connect.InvalidApp",
        ]
    );
}

// R34, Q14: publish without a type, or for a recording, is live.
#[test]
fn publish_without_a_type_or_with_an_old_one() {
    for (kind, recording) in [
        (None, false),
        (Some("live"), false),
        (Some("LIVE"), false),
        (Some("record"), true),
        (Some("Append"), true),
        (Some("else"), false),
    ] {
        let mut peer = Peer::connected();
        peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
        let mut values = vec![Value::from("publish"), Value::from(0.0), Value::Null];
        values.push(Value::from(KEY));
        values.extend(kind.map(Value::from));
        peer.call(1, &values);
        assert_eq!(asked(&mut peer).wants_recording, recording);
    }
}

// Q16: the key is in nothing we send.
#[test]
fn the_key_is_never_sent_back() {
    let mut peer = Peer::connected();
    let mut sent = Vec::new();
    for name in ["releaseStream", "FCPublish", "createStream", "FCUnpublish", "strange"] {
        let values = [Value::from(name), Value::from(2.0), Value::Null, Value::from(KEY)];
        peer.call(0, &values);
        sent.extend(peer.session.take_output());
    }
    peer.publish(1, KEY);
    peer.session.accept_publish(peer.now);
    for cause in [Cause::KeyUnknown, Cause::KeyRevoked, Cause::Replaced] {
        peer.session.refuse(&cause);
    }
    sent.extend(peer.session.take_output());
    let text = String::from_utf8_lossy(&sent).into_owned();
    assert!(text.contains("Publish.Start") && !text.contains("SECRET"));
    assert!(!format!("{:?}", peer.session).contains("SECRET"));
}

// R32: a command out of order is answered with an error and does nothing.
#[test]
fn what_comes_out_of_order_is_an_error() {
    let error =
        |transaction: u8| format!("0: _error {transaction} null error NetConnection.Call.Failed");
    let mut peer = Peer::new();
    peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
    peer.publish(1, KEY);
    assert_eq!(peer.read(), [error(2), error(5)]);

    let mut peer = Peer::connected();
    peer.publish(1, KEY);
    peer.call(0, &[Value::from("connect"), Value::from(7.0), connect_object("live")]);
    assert_eq!(peer.read(), [error(5), error(7)]);

    let mut peer = Peer::publishing();
    peer.publish(1, KEY);
    peer.call(0, &[Value::from("sing"), Value::from(8.0)]);
    assert_eq!(peer.read(), [error(5), error(8)]);
    assert_eq!(peer.session.next_event(), None);
}

// R32, Q10: twenty errors are the end, and streams are bounded however often they are asked for.
#[test]
fn twenty_errors_and_eight_streams() {
    let mut peer = Peer::connected();
    for _ in 0..8 {
        peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
    }
    assert!(peer.read().iter().all(|line| line.starts_with("0: _result")));
    for _ in 0..20 {
        peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
    }
    assert!(peer.read().iter().all(|line| line.starts_with("0: _error")));
    let last = peer.try_call(0, &[Value::from("createStream"), Value::from(2.0)]);
    assert_eq!(last, Err(Cause::TooManyErrors { max: 20 }));

    let mut peer = Peer::connected();
    for _ in 0..100 {
        peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
        let newest = f64::from(peer.session.newest_stream);
        let delete = ["deleteStream"].map(Value::from);
        peer.call(0, &[&delete[..], &[Value::from(0.0), Value::Null, newest.into()]].concat());
    }
    assert!(peer.session.streams.is_empty());
}

// R35: whoever asks to play is told that there is nothing.
#[test]
fn nothing_is_played() {
    let mut peer = Peer::connected();
    peer.call(0, &[Value::from("createStream"), Value::from(2.0)]);
    peer.read();
    let play = [Value::from("play"), Value::from(0.0), Value::Null, Value::from("demo")];
    let cause = peer.try_call(1, &play).unwrap_err();
    peer.session.refuse(&cause);
    assert_eq!(peer.read(), ["1: onStatus 0 null error NetStream.Play.StreamNotFound"]);
}

// R38, Q14: every way to end a publication ends it, once.
#[test]
fn every_way_to_end_a_publication() {
    let name = |text: &str| [Value::from(text), Value::from(0.0), Value::Null].to_vec();
    let with = |text: &str, value: Value| [&name(text)[..], &[value]].concat();
    for (stream, values) in [
        (0, with("FCUnpublish", Value::from(KEY))),
        (1, name("closeStream")),
        (0, name("closeStream")),
        (0, with("closeStream", Value::from(1.0))),
        (0, with("deleteStream", Value::from(1.0))),
        (1, with("deleteStream", Value::from(1.0))),
        (0, vec![Value::from("deleteStream")]),
    ] {
        let mut peer = Peer::publishing();
        peer.call(stream, &values);
        assert_eq!(peer.session.next_event(), Some(Event::PublishEnded), "{values:?}");
        // R40: what was on its way is ignored.
        peer.send(9, 1, &[0x17, 1, 0, 0, 0]).unwrap();
        peer.call(stream, &values);
        assert_eq!(peer.session.next_event(), None);
    }
    let mut peer = Peer::publishing();
    peer.call(0, &with("deleteStream", Value::from(3.0)));
    assert_eq!(peer.session.next_event(), None, "another stream");
}

// R40: a publication may follow the end of the first on one connection.
#[test]
fn a_second_publish_after_the_end_of_the_first() {
    let mut peer = Peer::publishing();
    peer.call(0, &["FCUnpublish"].map(Value::from));
    assert_eq!(peer.session.next_event(), Some(Event::PublishEnded));
    peer.publish(1, KEY);
    assert_eq!(asked(&mut peer).key, Ok(Secret::new(KEY)));
}

// R30, R31, Q2, Q3, Q12: none of this ends a session.
#[test]
fn odd_messages_are_skipped_or_answered() {
    let mut peer = Peer::publishing();
    let only_set = amf::render(&["@setDataFrame"].map(Value::from));
    let no_object = amf::render(&["@setDataFrame", "onMetaData"].map(Value::from));
    let connect = amf::render(&[Value::from("connect"), Value::from(1.0)]);
    let behind_zero = [&[0][..], &connect].concat();
    for (kind, payload) in [
        (20, &[][..]),
        (17, &[]),
        (20, &amf::render(&[Value::from("call"), Value::from(0.0)])),
        (20, &amf::render(&[Value::Null])),
        (20, &connect),
        (17, &behind_zero),
        (17, &[0x11, 1, 2, 3]),
        (15, &[0x11]),
        (18, &[]),
        (18, &only_set),
        (18, &no_object),
        (18, &[0x0B, 1]),
        (18, &[2, 0, 2, 0xFF, 0xFE]),
        (16, &[1, 2, 3]),
        (19, &[1, 2, 3]),
        (99, &[1]),
        (3, &[]),
        (4, &[]),
        (4, &[0]),
        (4, &[0, 26]),
        (4, &[0, 27, 0, 0]),
        (4, &[0, 6]),
        (5, &[]),
        (5, &[0, 0, 0, 0]),
        (6, &[1]),
        (22, &[9]),
    ] {
        peer.send(kind, 0, payload).unwrap_or_else(|cause| panic!("{kind} {payload:?}: {cause}"));
    }
    assert_eq!(peer.session.next_event(), None);
    peer.send(9, 1, &[0x17, 0]).unwrap();
    assert!(matches!(peer.session.next_event(), Some(Event::Video { .. })));
}

// R30: commands marked AMF3 are AMF0 behind a zero byte, and are carried out.
#[test]
fn commands_marked_amf3_are_carried_out() {
    let mut peer = Peer::new();
    let command = |values: &[Value]| [&[0][..], &amf::render(values)].concat();
    let text = |text: &str| Value::from(text);
    let connect = command(&[text("connect"), Value::from(1.0), connect_object("live")]);
    peer.send(17, 0, &connect).unwrap();
    peer.send(17, 0, &command(&[text("createStream"), Value::from(2.0), Value::Null])).unwrap();
    let answers = peer.read();
    assert!(answers.contains(&"0: _result 2 null 1".to_owned()), "{answers:?}");
    let publish = [text("publish"), Value::from(3.0), Value::Null, text(KEY), text("live")];
    peer.send(17, 1, &command(&publish)).unwrap();
    assert_eq!(asked(&mut peer).key, Ok(Secret::new(KEY)));
    peer.session.accept_publish(peer.now);
    let metadata = Value::object([("width", Value::from(640.0))]);
    peer.send(15, 1, &command(&[text("onMetaData"), metadata])).unwrap();
    assert!(matches!(peer.session.next_event(), Some(Event::Metadata(_))));
    peer.send(17, 1, &command(&[text("deleteStream"), Value::from(0.0), Value::Null, 1.0.into()]))
        .unwrap();
    assert_eq!(peer.session.next_event(), Some(Event::PublishEnded));
}

// R31: a command that breaks off is answered when it got as far as its transaction.
#[test]
fn a_broken_command_is_answered() {
    let mut peer = Peer::connected();
    let start = amf::render(&[Value::from("createStream"), Value::from(9.0)]);
    peer.send(20, 0, &[&start[..], &[0x04]].concat()).unwrap();
    assert_eq!(peer.read(), ["0: _error 9 null error NetConnection.Call.Failed"]);
}

#[test]
fn metadata_with_and_without_the_frame_around_it() {
    let object = Value::object([("width", Value::from(640.0))]);
    for values in [
        vec![Value::from("@setDataFrame"), Value::from("onMetaData"), object.clone()],
        vec![Value::from("onMetaData"), object.clone()],
    ] {
        let mut peer = Peer::publishing();
        peer.send(18, 1, &amf::render(&values)).unwrap();
        let Some(Event::Metadata(got)) = peer.session.next_event() else { panic!() };
        assert_eq!(got.number("width"), Some(640.0));
    }
    let mut peer = Peer::connected();
    peer.send(18, 1, &amf::render(&[Value::from("onMetaData"), object])).unwrap();
    assert_eq!(peer.session.next_event(), None, "before publish");
}

#[path = "session_limits_tests.rs"]
mod limits;

// D18: a process that stood still blames nobody who has not published yet.
#[test]
fn a_standstill_gives_a_newcomer_its_time_again() {
    let limits = Limits::default();
    let mut session = Session::new(&limits, &Settings::default(), MonoTime::ZERO);
    let woken = MonoTime::from_start(Duration::from_secs(3_600));
    session.handle_oversleep(woken);
    assert_eq!(session.handle_time(woken), Ok(()));
    assert_eq!(session.handle_time(woken + limits.connect_time_max), Err(Cause::ConnectTimeout));
}
