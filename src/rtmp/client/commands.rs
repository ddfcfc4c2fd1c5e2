//! The commands a publisher sends and the replies it reads (Adobe RTMP 1.0, section 7.2).

use std::fmt;

use bytes::Bytes;

use super::super::amf::{self, Value};
use super::super::wire::{Message, MessageKind};
use super::Target;
use crate::base::{Limits, Secret};

/// Characters of a server's description that we repeat.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Characters of a server's code that we repeat.
const CODE_CHARS_MAX: usize = 64;

/// Shortest key that is looked for in a server's words.
const KEY_BYTES_MIN: usize = 4;

/// Which of our calls a reply belongs to. The numbers are ours to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    Connect,
    ReleaseStream,
    FcPublish,
    CreateStream,
    Publish,
    FcUnpublish,
    DeleteStream,
}

impl Transaction {
    const ALL: [Self; 7] = [
        Self::Connect,
        Self::ReleaseStream,
        Self::FcPublish,
        Self::CreateStream,
        Self::Publish,
        Self::FcUnpublish,
        Self::DeleteStream,
    ];

    fn number(self) -> f64 {
        match self {
            // Fixed by the standard (section 7.2.1.1).
            Self::Connect => 1.0,
            Self::ReleaseStream => 2.0,
            Self::FcPublish => 3.0,
            Self::CreateStream => 4.0,
            Self::Publish => 5.0,
            Self::FcUnpublish => 6.0,
            Self::DeleteStream => 7.0,
        }
    }

    fn of(number: f64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number().total_cmp(&number).is_eq())
    }
}

/// One command, ready to be sent.
pub(super) struct Command {
    pub(super) stream: u32,
    pub(super) body: Bytes,
}

impl Command {
    fn new(stream: u32, name: &str, transaction: Transaction, arguments: &[Value]) -> Self {
        let mut values = vec![name.into(), transaction.number().into()];
        values.extend_from_slice(arguments);
        Self { stream, body: amf::render(&values).into() }
    }
}

/// `connect` with what encoders send; servers choose the application by `app` and `tcUrl`.
pub(super) fn connect(target: &Target) -> Command {
    let tc_url = target.tc_url();
    let arguments = Value::object([
        ("app", target.app.as_str().into()),
        ("type", "nonprivate".into()),
        (
            "flashVer",
            concat!("FMLE/3.0 (compatible; Ghostlight/", env!("CARGO_PKG_VERSION"), ")").into(),
        ),
        ("tcUrl", tc_url.as_str().into()),
    ]);
    Command::new(0, "connect", Transaction::Connect, &[arguments])
}

pub(super) fn release_stream(key: &Secret) -> Command {
    Command::new(
        0,
        "releaseStream",
        Transaction::ReleaseStream,
        &[Value::Null, key.reveal().into()],
    )
}

pub(super) fn fc_publish(key: &Secret) -> Command {
    Command::new(0, "FCPublish", Transaction::FcPublish, &[Value::Null, key.reveal().into()])
}

pub(super) fn create_stream() -> Command {
    Command::new(0, "createStream", Transaction::CreateStream, &[Value::Null])
}

/// `publish` in mode `live` (section 7.2.2.6).
pub(super) fn publish(key: &Secret, stream: u32) -> Command {
    let arguments = [Value::Null, key.reveal().into(), "live".into()];
    Command::new(stream, "publish", Transaction::Publish, &arguments)
}

pub(super) fn fc_unpublish(key: &Secret) -> Command {
    Command::new(0, "FCUnpublish", Transaction::FcUnpublish, &[Value::Null, key.reveal().into()])
}

pub(super) fn delete_stream(stream: u32) -> Command {
    let arguments = [Value::Null, f64::from(stream).into()];
    Command::new(0, "deleteStream", Transaction::DeleteStream, &arguments)
}

/// The body of a script tag, as the data message that makes a server keep it. The values
/// themselves stay byte for byte what the file holds.
pub(super) fn set_data_frame(body: &[u8]) -> Bytes {
    let mut message = amf::render(&["@setDataFrame".into()]);
    message.extend_from_slice(body);
    message.into()
}

/// What a server says about a call or a stream, in its own words: cut to a length, without
/// control characters, and with dots where it repeats the stream key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub level: String,
    pub code: String,
    pub description: String,
}

impl Status {
    pub(super) fn is_error(&self) -> bool {
        self.level == "error"
    }

    pub(super) fn is_publish_start(&self) -> bool {
        self.code == "NetStream.Publish.Start"
    }

    fn parse(value: Option<&Value>, key: &Secret) -> Self {
        let Some(object) = value.and_then(Value::as_object) else { return Self::default() };
        let text = |name, chars_max| clean(object.str(name).unwrap_or_default(), key, chars_max);
        Self {
            level: text("level", CODE_CHARS_MAX),
            code: text("code", CODE_CHARS_MAX),
            description: text("description", DESCRIPTION_CHARS_MAX),
        }
    }
}

/// `NetStream.Publish.BadName: the name is taken`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.description.as_str()) {
            ("", "") => f.write_str("no reason given"),
            (code, "") => f.write_str(code),
            ("", description) => f.write_str(description),
            (code, description) => write!(f, "{code}: {description}"),
        }
    }
}

/// What a server's command means to a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `_result`, with the number it gives where it gives one that is a message stream.
    Result(Transaction, Option<u32>),
    /// `_error`.
    Error(Transaction, Status),
    /// `onStatus`.
    Status(Status),
    /// Anything else, also a reply to a call we never made.
    Other,
}

/// Reads a command. `None`: it has no name, so nothing can be made of it.
pub(super) fn parse_reply(message: &Message, limits: &Limits, key: &Secret) -> Option<Reply> {
    let amf3 = message.kind == MessageKind::CommandAmf3;
    let payload = message.payload.get(usize::from(amf3)..)?;
    let values = amf::parse(payload, limits).values;
    let name = values.first()?.as_str()?;
    let transaction = values.get(1).and_then(Value::as_number).and_then(Transaction::of);
    // The last value carries the answer; the one before it is a command object or null.
    let answer = values.get(3).or(values.get(2));
    Some(match (name, transaction) {
        ("_result", Some(transaction)) => {
            Reply::Result(transaction, values.get(3).and_then(parse_stream))
        }
        ("_error", Some(transaction)) => Reply::Error(transaction, Status::parse(answer, key)),
        ("onStatus", _) => Reply::Status(Status::parse(answer, key)),
        _ => Reply::Other,
    })
}

/// A message stream is a whole number that is not 0, the connection itself.
fn parse_stream(value: &Value) -> Option<u32> {
    let number = value.as_number()?;
    // Printing a whole number and reading it back is exact and refuses every other value.
    number.to_string().parse().ok().filter(|&stream| stream != 0)
}

fn clean(text: &str, key: &Secret, chars_max: usize) -> String {
    // A shorter key is no secret, and would be found in the middle of words.
    let text = match key.reveal() {
        key if key.len() < KEY_BYTES_MIN => text.to_owned(),
        key => text.replace(key, "••••"),
    };
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: MessageKind, values: &[Value]) -> Option<Reply> {
        let mut payload = amf::render(values);
        if kind == MessageKind::CommandAmf3 {
            payload.insert(0, 0);
        }
        let message = Message { timestamp: 0, kind, stream: 0, payload: payload.into() };
        parse_reply(&message, &Limits::default(), &Secret::new("hunter2"))
    }

    fn status(description: &str) -> Value {
        Value::object([
            ("level", "error".into()),
            ("code", "NetStream.Publish.Denied".into()),
            ("description", description.into()),
        ])
    }

    #[test]
    fn replies_find_their_call() {
        let one = [Value::from("_result"), 4.0.into(), Value::Null, 1.0.into()];
        let expected = Some(Reply::Result(Transaction::CreateStream, Some(1)));
        assert_eq!(read(MessageKind::Command, &one), expected);
        assert_eq!(read(MessageKind::CommandAmf3, &one), expected);
        let stray = [Value::from("_result"), 99.0.into(), Value::Null, 1.0.into()];
        assert_eq!(read(MessageKind::Command, &stray), Some(Reply::Other));
        assert_eq!(read(MessageKind::Command, &["onBWDone".into()]), Some(Reply::Other));
        assert_eq!(read(MessageKind::Command, &[]), None);
        assert_eq!(read(MessageKind::Command, &[1.0.into()]), None);
    }

    #[test]
    fn a_message_stream_is_a_whole_number_above_zero() {
        for (number, expected) in [
            (1.0, Some(1)),
            (4_294_967_295.0, Some(u32::MAX)),
            (0.0, None),
            (-1.0, None),
            (1.5, None),
            (4_294_967_296.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(parse_stream(&number.into()), expected, "{number}");
        }
    }

    #[test]
    fn a_refusal_is_repeated_without_the_key_or_control_characters() {
        let words = format!("no hunter2\u{1b}[31m\r\n {}", "x".repeat(1_000));
        let values = ["onStatus".into(), 0.0.into(), Value::Null, status(&words)];
        let Some(Reply::Status(status)) = read(MessageKind::Command, &values) else {
            panic!("a status");
        };
        assert!(status.is_error());
        assert!(status.description.starts_with("no ••••[31m xxx"), "{status}");
        assert_eq!(status.description.chars().count(), DESCRIPTION_CHARS_MAX);
    }

    #[test]
    fn a_status_prints_what_there_is() {
        let text = |code: &str, description: &str| {
            let (code, description) = (code.to_owned(), description.to_owned());
            Status { level: String::new(), code, description }.to_string()
        };
        assert_eq!(text("A.B", "why"), "A.B: why");
        assert_eq!(text("A.B", ""), "A.B");
        assert_eq!(text("", "why"), "why");
        assert_eq!(text("", ""), "no reason given");
    }
}
