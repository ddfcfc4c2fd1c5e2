use std::collections::HashSet;
use std::time::Duration;

use super::*;

/// R56: one of each, and a place for the next: a new cause does not compile until it has a number
/// here, and the test below fails until it has an example.
fn number(cause: &Cause) -> usize {
    match cause {
        Cause::Finished => 0,
        Cause::Left => 1,
        Cause::Broken(_) => 2,
        Cause::ConnectionsFull => 3,
        Cause::AddressFull => 4,
        Cause::AcceptRate => 5,
        Cause::TlsBusy => 6,
        Cause::TlsTimeout => 7,
        Cause::TlsFailed => 8,
        Cause::Handshake(_) => 9,
        Cause::HandshakeTimeout => 10,
        Cause::ConnectTimeout => 11,
        Cause::PublishTimeout => 12,
        Cause::AppUnknown => 13,
        Cause::PlayNotServed => 14,
        Cause::Wire(_) => 15,
        Cause::Amf(_) => 16,
        Cause::TooManyErrors { .. } => 17,
        Cause::AggregateParts { .. } => 18,
        Cause::Media(_) => 19,
        Cause::KeyMissing => 20,
        Cause::KeyUnknown => 21,
        Cause::TooManyGuesses => 22,
        Cause::TryLater => 23,
        Cause::Refused(_) => 24,
        Cause::NotStarted(_) => 25,
        Cause::FirstMediaTimeout => 26,
        Cause::Silent => 27,
        Cause::Unanswered => 28,
        Cause::WriteStalled => 29,
        Cause::Replaced => 30,
        Cause::KeyRevoked => 31,
        Cause::ServiceClosed => 32,
        Cause::Draining => 33,
        Cause::Ended(_) => 34,
        Cause::TooManyBytes { .. } => 35,
    }
}

fn examples() -> Vec<Cause> {
    vec![
        Cause::Finished,
        Cause::Left,
        Cause::Broken(io::ErrorKind::ConnectionReset),
        Cause::ConnectionsFull,
        Cause::AddressFull,
        Cause::AcceptRate,
        Cause::TlsBusy,
        Cause::TlsTimeout,
        Cause::TlsFailed,
        Cause::Handshake(HandshakeError::Version(6)),
        Cause::HandshakeTimeout,
        Cause::ConnectTimeout,
        Cause::PublishTimeout,
        Cause::AppUnknown,
        Cause::PlayNotServed,
        Cause::Wire(WireError::MessageTooLong { length: usize::MAX, max: usize::MAX }),
        Cause::Amf(AmfError::TooDeep { max: 16 }),
        Cause::TooManyErrors { max: 20 },
        Cause::AggregateParts { max: 1_000 },
        Cause::TooManyBytes { max: usize::MAX },
        Cause::Media(IntakeError::NoKeyframe { waited: Duration::from_secs(60) }),
        Cause::KeyMissing,
        Cause::KeyUnknown,
        Cause::TooManyGuesses,
        Cause::TryLater,
        Cause::Refused(Refusal::NodeDraining),
        Cause::NotStarted(StartError::Busy(Busy::OtherKey)),
        Cause::NotStarted(StartError::Busy(Busy::TooManyTakeovers)),
        Cause::NotStarted(StartError::Overtaken),
        Cause::NotStarted(StartError::NothingToResume),
        Cause::NotStarted(StartError::TooManyBroadcasts { max: 1_000 }),
        Cause::NotStarted(StartError::OutOfMemory),
        Cause::FirstMediaTimeout,
        Cause::Silent,
        Cause::Unanswered,
        Cause::WriteStalled,
        Cause::Replaced,
        Cause::KeyRevoked,
        Cause::ServiceClosed,
        Cause::Draining,
        Cause::Ended("gop_too_long"),
    ]
}

// R56
#[test]
fn every_cause_has_a_label_a_blame_and_a_text() {
    let examples = examples();
    let numbers: HashSet<_> = examples.iter().map(number).collect();
    assert_eq!(numbers.len(), numbers.iter().max().unwrap() + 1, "an example of each");
    let labels: HashSet<_> = examples.iter().map(Cause::as_str).collect();
    assert_eq!(labels.len(), examples.len(), "labels differ");
    for cause in &examples {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
        assert!(cause.as_str().chars().all(plain), "{}", cause.as_str());
        assert!(cause.to_string().ends_with('.'), "{cause}");
        let _ = cause.blame();
    }
}

// R36 and the refusals of the closing: codes that encoders act on, texts that fit.
#[test]
fn what_the_peer_is_told() {
    const FATAL_FOR_OBS: &[&str] = &[
        "NetStream.Publish.Denied",
        "NetStream.Publish.BadName",
        "NetStream.Failed",
        "NetStream.Play.StreamNotFound",
        "NetConnection.Connect.InvalidApp",
    ];
    for cause in examples() {
        let Some(Status { code, description }) = cause.on_status() else { continue };
        assert!(FATAL_FOR_OBS.contains(&code), "{code}");
        assert!(description.is_ascii() && description.len() < 200, "{description}");
        assert_eq!(description, cause.to_string(), "nothing was cut or replaced");
    }
    let code = |cause: Cause| cause.on_status().unwrap().code;
    assert_eq!(code(Cause::KeyUnknown), "NetStream.Publish.Denied");
    assert_eq!(code(Cause::Replaced), "NetStream.Publish.BadName");
    let busy = Cause::NotStarted(StartError::Busy(Busy::OtherKey));
    assert_eq!(code(busy), "NetStream.Publish.BadName");
}

#[test]
fn descriptions_are_ascii_and_short() {
    assert_eq!(description("caf\u{e9}\n\u{7f}"), "caf???");
    assert_eq!(description(&"x".repeat(500)).len(), 199);
}

#[test]
fn labels_of_wire_and_amf_errors_differ() {
    let max = 1;
    let labels = [
        WireError::NoHeader { chunk_stream: 1 }.as_str(),
        WireError::HeaderInMessage { chunk_stream: 1 }.as_str(),
        WireError::TooManyChunkStreams { max }.as_str(),
        WireError::MessageTooLong { length: 1, max }.as_str(),
        WireError::PartialTooLarge { bytes: 1, max }.as_str(),
        WireError::ChunkSize(0).as_str(),
        WireError::ControlTooShort { got: 1 }.as_str(),
        WireError::TinyChunks { max: 1 }.as_str(),
        AmfError::TooLong { got: 2, max }.as_str(),
        AmfError::TooDeep { max }.as_str(),
        AmfError::TooManyValues { max }.as_str(),
        AmfError::StringTooLong { got: 2, max }.as_str(),
        AmfError::Truncated.as_str(),
        AmfError::Marker(4).as_str(),
    ];
    assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len());
}
