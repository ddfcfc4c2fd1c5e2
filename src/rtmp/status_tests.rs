use std::collections::HashSet;
use std::time::Duration;

use super::super::world::{START, World};
use super::*;
use crate::gate::{Latch, Operation, Policy, Verdict};
use crate::media::{ConfigError, TagError, TrackKind};

/// What the gate says to an operation at some time in the far future.
fn refused(operation: Operation, policy: Policy, after: Duration) -> Cause {
    let Verdict::Refuse(refusal) = policy.decide(operation, START + after) else {
        panic!("{operation} is allowed");
    };
    Cause::Refused(refusal)
}

/// One of each, with numbers as long as they get.
pub(in crate::rtmp) fn examples() -> Vec<Cause> {
    let track = TrackKind::Video;
    let (hour, century) = (Duration::from_secs(3_600), Duration::from_secs(86_400 * 36_500));
    let closed = || Policy::new(Some(World::schedule(hour, "finish")), Latch::default());
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
        Cause::Wire(WireError::NoHeader { chunk_stream: u32::MAX }),
        Cause::Wire(WireError::HeaderInMessage { chunk_stream: u32::MAX }),
        Cause::Wire(WireError::TooManyChunkStreams { max: usize::MAX }),
        Cause::Wire(WireError::MessageTooLong { length: usize::MAX, max: usize::MAX }),
        Cause::Wire(WireError::PartialTooLarge { bytes: usize::MAX, max: usize::MAX }),
        Cause::Wire(WireError::ChunkSize(u32::MAX)),
        Cause::Wire(WireError::ControlTooShort { got: usize::MAX }),
        Cause::Wire(WireError::TinyChunks { max: u32::MAX }),
        Cause::Amf(AmfError::TooLong { got: usize::MAX, max: usize::MAX }),
        Cause::Amf(AmfError::TooDeep { max: 16 }),
        Cause::Amf(AmfError::TooManyValues { max: usize::MAX }),
        Cause::Amf(AmfError::StringTooLong { got: usize::MAX, max: usize::MAX }),
        Cause::TooManyErrors { max: 20 },
        Cause::AggregateParts { max: 1_000 },
        Cause::TooManyBytes { max: usize::MAX },
        Cause::Media(IntakeError::CodecNotSupported(TagError::AudioCodec(11))),
        Cause::Media(IntakeError::BadVideoConfig(ConfigError::Magic { record: "hvcC" })),
        Cause::Media(IntakeError::NoVideoConfig { waited: Duration::from_secs(30) }),
        Cause::Media(IntakeError::NoKeyframe { waited: Duration::from_secs(60) }),
        Cause::Media(IntakeError::FrameTooLarge { track, got: usize::MAX, max: usize::MAX }),
        Cause::Media(IntakeError::GopTooLarge { got: usize::MAX, max: usize::MAX }),
        Cause::Media(IntakeError::TooManyMessages { track, max: u32::MAX }),
        Cause::Media(IntakeError::TooManyConfigChanges { track, max: u32::MAX }),
        Cause::KeyMissing,
        Cause::KeyUnknown,
        Cause::TooManyGuesses,
        Cause::TryLater,
        refused(Operation::Start, closed(), century),
        refused(Operation::CreateKey, closed(), century),
        refused(Operation::WatchLive, closed(), century),
        refused(Operation::Start, closed().built_at(Some(START + century)), hour / 2),
        Cause::Refused(Refusal::NodeDraining),
        Cause::NotStarted(StartError::Busy(Busy::OtherKey)),
        Cause::NotStarted(StartError::Busy(Busy::SameKey)),
        Cause::NotStarted(StartError::Busy(Busy::TooManyTakeovers)),
        Cause::NotStarted(StartError::Overtaken),
        Cause::NotStarted(StartError::NothingToResume),
        Cause::NotStarted(StartError::TooManyBroadcasts { max: 1_000 }),
        Cause::NotStarted(StartError::OutOfMemory),
        Cause::NotStarted(StartError::OutOfTime),
        Cause::FirstMediaTimeout,
        Cause::Silent,
        Cause::Unanswered,
        Cause::WriteStalled,
        Cause::Replaced,
        Cause::KeyRevoked,
        Cause::ServiceClosed,
        Cause::Draining,
        Cause::Ended("packager_fault"),
    ]
}

/// How many variants an enum of errors has: each has its text above it.
fn variants(source: &str, name: &str) -> usize {
    let body = source.split(&format!("pub enum {name} {{")).nth(1).unwrap();
    body.split("\n}").next().unwrap().matches("#[error(").count()
}

// R56: whoever adds a variant adds its example, which is then asked for in the tests of `causes`.
#[test]
fn every_variant_has_an_example() {
    let examples = examples();
    let count = |of: fn(&Cause) -> bool| examples.iter().filter(|cause| of(cause)).count();
    let kinds: HashSet<_> = examples.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), variants(include_str!("status.rs"), "Cause"));
    let wire = variants(include_str!("wire.rs"), "WireError");
    assert_eq!(count(|cause| matches!(cause, Cause::Wire(_))), wire);
    // Two of them spoil one message and end nothing.
    let amf = variants(include_str!("amf.rs"), "AmfError") - 2;
    assert_eq!(count(|cause| matches!(cause, Cause::Amf(_))), amf);
    let media = variants(include_str!("../media/intake/error.rs"), "IntakeError");
    assert_eq!(count(|cause| matches!(cause, Cause::Media(_))), media);
}

// R56: every reason for an end has a label, a blame and a text.
#[test]
fn every_cause_has_a_label_a_blame_and_a_text() {
    let examples = examples();
    let labels: HashSet<_> = examples.iter().map(Cause::as_str).collect();
    assert_eq!(labels.len(), examples.len(), "labels differ");
    for cause in &examples {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
        assert!(cause.as_str().chars().all(plain), "{}", cause.as_str());
        assert!(cause.to_string().ends_with('.'), "{cause}");
        let _ = cause.blame();
    }
}

// R36, Q13: a refusal comes where encoders look, with codes they act on and texts that fit.
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
