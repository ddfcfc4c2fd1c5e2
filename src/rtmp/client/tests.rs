//! The other end of these tests is rml_rtmp's server session: a foreign implementation.
#![expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, of which three events matter")]

use rml_rtmp::handshake::PeerType;
use rml_rtmp::sessions::{
    ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
};

use super::*;
use crate::rtmp::amf::{self, Value};

const START: MonoTime = MonoTime::ZERO;

fn publisher() -> Publisher {
    let target = Target::parse("rtmp://127.0.0.1/live/hunter2").expect("an address");
    Publisher::new(target, &Limits::default(), START)
}

fn take_output(publisher: &mut Publisher) -> Vec<u8> {
    std::iter::from_fn(|| publisher.next_output()).flatten().collect()
}

/// A foreign server that accepts everything, and what it was told.
pub(super) struct Server {
    handshake: Option<Handshake>,
    session: ServerSession,
    /// What it says right after the handshake.
    greeting: Vec<ServerSessionResult>,
    events: Vec<ServerSessionEvent>,
    pub(super) output: Vec<u8>,
}

impl Server {
    pub(super) fn new() -> Self {
        let (session, greeting) =
            ServerSession::new(ServerSessionConfig::new()).expect("a session");
        Self {
            handshake: Some(Handshake::new(PeerType::Server)),
            session,
            greeting,
            events: Vec::new(),
            output: Vec::new(),
        }
    }

    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let Some(mut handshake) = self.handshake.take() else { return self.chunks(bytes) };
        match handshake.process_bytes(bytes).expect("a handshake") {
            HandshakeProcessResult::InProgress { response_bytes } => {
                self.output.extend(response_bytes);
                self.handshake = Some(handshake);
            }
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                self.output.extend(response_bytes);
                let greeting = std::mem::take(&mut self.greeting);
                self.take(greeting);
                self.chunks(&remaining_bytes);
            }
        }
    }

    pub(super) fn has_accepted(&self) -> bool {
        let publish = |e: &_| matches!(e, ServerSessionEvent::PublishStreamRequested { .. });
        self.events.iter().any(publish)
    }

    fn chunks(&mut self, bytes: &[u8]) {
        let results = self.session.handle_input(bytes).expect("well-formed chunks");
        self.take(results);
    }

    fn take(&mut self, results: Vec<ServerSessionResult>) {
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => self.output.extend(packet.bytes),
                ServerSessionResult::RaisedEvent(event) => {
                    let asked = match &event {
                        ServerSessionEvent::ConnectionRequested { request_id, .. }
                        | ServerSessionEvent::PublishStreamRequested { request_id, .. } => {
                            Some(*request_id)
                        }
                        _ => None,
                    };
                    self.events.push(event);
                    if let Some(id) = asked {
                        let accepted = self.session.accept_request(id).expect("accepted");
                        self.take(accepted);
                    }
                }
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }
}

/// Passes bytes both ways, in pieces of `piece` bytes, until both are silent.
fn converse(publisher: &mut Publisher, server: &mut Server, piece: usize) {
    loop {
        let sent = take_output(publisher);
        let answered = std::mem::take(&mut server.output);
        if sent.is_empty() && answered.is_empty() {
            return;
        }
        for bytes in sent.chunks(piece) {
            server.handle(bytes);
        }
        for bytes in answered.chunks(piece) {
            publisher.handle_bytes(bytes, START).expect("a willing server");
        }
    }
}

/// A live publisher, and the server it talks to.
fn live() -> (Publisher, Server) {
    let (mut publisher, mut server) = (publisher(), Server::new());
    converse(&mut publisher, &mut server, usize::MAX);
    assert_eq!(publisher.step(), Step::Live);
    (publisher, server)
}

/// One message from a server, in one chunk on chunk stream 3 with a full header.
fn chunk(type_id: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).expect("short").to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0];
    bytes.extend(length);
    bytes.extend([type_id, stream, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

pub(super) fn on_status(level: &str, code: &str, description: &str) -> Vec<u8> {
    let status = Value::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ]);
    // Servers choose long chunks first; 128 bytes would cut this one in two.
    let mut bytes = chunk(1, 0, &4_096_u32.to_be_bytes());
    let body = amf::render(&["onStatus".into(), 0.0.into(), Value::Null, status]);
    bytes.extend(chunk(20, 1, &body));
    bytes
}

#[test]
fn a_foreign_server_accepts_us_however_the_bytes_are_cut() {
    for piece in [1, 2, 3, 7, 1_536, 1_537, usize::MAX] {
        let (mut publisher, mut server) = (publisher(), Server::new());
        converse(&mut publisher, &mut server, piece);
        assert_eq!(publisher.step(), Step::Live, "{piece}");
        let asked = server.events.iter().find_map(|event| match event {
            ServerSessionEvent::PublishStreamRequested { app_name, stream_key, .. } => {
                Some((app_name.as_str(), stream_key.as_str()))
            }
            _ => None,
        });
        assert_eq!(asked, Some(("live", "hunter2")));
    }
}

#[test]
fn media_arrives_with_its_times_also_back_and_over_the_wrap() {
    let (mut publisher, mut server) = live();
    server.events.clear();
    let times = [0, 40, 39, 16_777_214, 16_777_215, 16_777_216, u32::MAX, 0, 5];
    let long = Bytes::from(vec![7; 200_000]);
    for time in times {
        publisher.write(MediaKind::Video, time, long.clone()).expect("live");
        publisher.write(MediaKind::Audio, time, Bytes::from_static(&[1])).expect("live");
    }
    converse(&mut publisher, &mut server, 5_000);
    let mut video = Vec::new();
    let mut audio = Vec::new();
    for event in server.events {
        match event {
            ServerSessionEvent::VideoDataReceived { timestamp, data, .. } => {
                assert_eq!(data, long);
                video.push(timestamp.value);
            }
            ServerSessionEvent::AudioDataReceived { timestamp, .. } => audio.push(timestamp.value),
            _ => {}
        }
    }
    assert_eq!((video.as_slice(), audio.as_slice()), (&times[..], &times[..]));
}

#[test]
fn metadata_and_the_goodbye_arrive() {
    let (mut publisher, mut server) = live();
    server.events.clear();
    let values = Value::object([("width", 640.0.into())]);
    let body = amf::render(&["onMetaData".into(), values]);
    publisher.write(MediaKind::Metadata, 0, body.into()).expect("live");
    publisher.finish(START).expect("live");
    converse(&mut publisher, &mut server, usize::MAX);
    let told: Vec<_> = server
        .events
        .iter()
        .map(|event| match event {
            ServerSessionEvent::StreamMetadataChanged { metadata, .. } => {
                format!("width {:?}", metadata.video_width)
            }
            ServerSessionEvent::PublishStreamFinished { stream_key, .. } => {
                format!("finished {stream_key}")
            }
            other => format!("{other:?}").chars().take(30).collect(),
        })
        .collect();
    assert!(told.contains(&"width Some(640)".to_owned()), "{told:?}");
    assert!(told.contains(&"finished hunter2".to_owned()), "{told:?}");
    let late = publisher.write(MediaKind::Audio, 0, Bytes::new());
    assert!(matches!(late, Err(ClientError::NotLive { step: Step::Finished })));
}

#[test]
fn a_refusal_comes_with_the_servers_words() {
    let (mut publisher, mut server) = (publisher(), Server::new());
    while publisher.step() != Step::Publish {
        server.handle(&take_output(&mut publisher));
        let mut answer = std::mem::take(&mut server.output);
        // The foreign server would go on to accept, so from here on its part is written by hand.
        if publisher.step() == Step::CreateStream {
            answer = chunk(
                20,
                0,
                &amf::render(&["_result".into(), 4.0.into(), Value::Null, 1.0.into()]),
            );
        }
        publisher.handle_bytes(&answer, START).expect("so far so good");
    }
    let words = on_status("error", "NetStream.Publish.Denied", "key hunter2 is revoked");
    let error = publisher.handle_bytes(&words, START).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the server refused publish: NetStream.Publish.Denied: key •••• is revoked"
    );
    assert_eq!(error.blame(), Blame::Upstream);
}

#[test]
fn an_end_by_the_server_comes_with_its_words() {
    let (mut publisher, _server) = live();
    let news = on_status("status", "NetStream.Publish.Notify", "all well");
    publisher.handle_bytes(&news, START).expect("news are no end");
    let words = on_status("error", "NetStream.Publish.Denied", "closed");
    let error = publisher.handle_bytes(&words, START).expect_err("ended");
    assert_eq!(
        error.to_string(),
        "the server ended the broadcast: NetStream.Publish.Denied: closed"
    );
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let (mut publisher, _server) = live();
    publisher.handle_bytes(&chunk(4, 0, &[0, 6, 1, 2, 3, 4]), START).expect("a ping");
    let answer = take_output(&mut publisher);
    assert!(answer.ends_with(&[0, 7, 1, 2, 3, 4]), "{answer:?}");

    publisher.handle_bytes(&chunk(5, 0, &100_u32.to_be_bytes()), START).expect("a window");
    take_output(&mut publisher);
    publisher.handle_bytes(&chunk(8, 1, &[0; 100]), START).expect("bytes");
    let answer = take_output(&mut publisher);
    let header = answer.get(7).copied();
    assert_eq!(header, Some(3), "an acknowledgement in {answer:?}");
}

#[test]
fn every_step_has_its_deadline() {
    let mut publisher = publisher();
    let limits = Limits::default();
    publisher.handle_tick(START).expect("in time");
    let late = START + limits.handshake_time_max;
    let error = publisher.handle_tick(late).expect_err("too late");
    assert_eq!(error.to_string(), "the server did not answer within 10 s during the handshake");
    let (publisher, _server) = live();
    let mut publisher = publisher;
    publisher.handle_tick(late + Duration::from_secs(86_400)).expect("live has no deadline");
}

#[test]
fn another_protocol_is_named() {
    let error = publisher().handle_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n", START);
    assert!(matches!(error, Err(ClientError::Handshake)), "{error:?}");
}

#[test]
fn a_message_that_cannot_be_sent_is_refused_before_it_is() {
    let (mut publisher, _server) = live();
    let body = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
    let error = publisher.write(MediaKind::Video, 0, body).expect_err("too long");
    assert!(matches!(error, ClientError::MessageTooLong { got } if got == MESSAGE_BYTES_MAX + 1));
    assert!(publisher.next_output().is_none());
}

#[test]
fn nothing_printed_holds_the_key() {
    assert!(!format!("{:?}", publisher()).contains("hunter2"));
}
