//! A server without sockets and a foreign encoder, for the tests of this room.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rml_rtmp::handshake::{HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::amf::Value;
use super::conn::{Ended, Peer, serve};
use super::low_water::LowWater;
use super::{Cause, Context, Settings, Writer};
use crate::accounts::{Gatekeeper, Keys, issue_key};
use crate::base::{BroadcastId, ChannelId, Clock, ConnId, KeyId, Limits, Rival, Secret, WallTime};
use crate::gate::{Latch, Policy, Schedule, ScheduleSettings};
use crate::hub::{self, BroadcastState, Registry};
use crate::store::{self, Store};
use crate::testing::clips;
use crate::testing::clock::RuntimeClock;

/// 2026-09-21, some time.
pub(super) const START: WallTime = WallTime::from_unix_millis(1_790_000_000_000);

/// A server without sockets, with one channel and one key.
pub(super) struct World {
    pub(super) context: Context,
    pub(super) store: Arc<dyn Store>,
    pub(super) key: Secret,
    pub(super) key_id: KeyId,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) last_id: u64,
    /// What the newest connection wishes for.
    pub(super) low_water: LowWater,
}

impl World {
    pub(super) async fn open() -> Self {
        Self::closing(None, "finish").await
    }

    /// New broadcasts close so long after the start.
    pub(super) async fn closing(after: Option<Duration>, policy: &str) -> Self {
        let schedule = after.map(|after| Self::schedule(after, policy));
        let policy = Policy::new(schedule, Latch::default());
        Self::with(policy, store::in_memory(), Limits::default()).await
    }

    /// New broadcasts close so long after the start.
    pub(super) fn schedule(after: Duration, policy: &str) -> Schedule {
        let settings = ScheduleSettings {
            publish_close_at: Some((START + after).to_string()),
            policy: Some(policy.to_owned()),
            ..ScheduleSettings::default()
        };
        Schedule::build(&settings).unwrap().unwrap()
    }

    /// The same with limits of its own.
    pub(super) async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let policy = Policy::new(None, Latch::default());
        Self::with(policy, store::in_memory(), limits).await
    }

    /// The same with a key whose owner refuses a second publisher.
    pub(super) async fn refusing_a_second() -> Self {
        let mut world = Self::open().await;
        let channel = ChannelId::parse("demo").unwrap();
        let store = &*world.store;
        let issued = issue_key(store, &channel, "", Rival::Refused, None, START).await.unwrap();
        (world.key, world.key_id) = (issued.text, issued.id);
        world
    }

    pub(super) async fn with(policy: Policy, store: Arc<dyn Store>, limits: Limits) -> Self {
        let clock = Arc::new(RuntimeClock::starting_at(START));
        let channel = ChannelId::parse("demo").unwrap();
        let issued = issue_key(&*store, &channel, "", Rival::default(), None, START).await.unwrap();
        let keys = Keys::open(store.clone(), clock.now()).await.unwrap();
        let (hub, last) = (hub::Settings::default(), BroadcastId::new(0));
        let context = Context::new(
            Registry::new(limits.clone(), hub, last),
            keys,
            Gatekeeper::without_memory(policy),
            limits,
            Settings::default(),
            clock,
        );
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (key, key_id) = (issued.text, issued.id);
        let low_water = LowWater::default();
        Self { context, store, key, key_id, stop, tasks, last_id: 0, low_water }
    }

    /// A raw connection from an address, served.
    pub(super) fn dial_from(&mut self, address: &str) -> (DuplexStream, JoinHandle<Ended>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.last_id += 1;
        let peer = Peer { id: ConnId(self.last_id), address: address.parse().unwrap() };
        let (context, stop) = (self.context.clone(), self.stop.clone());
        self.low_water = LowWater::of_socket();
        let low_water = self.low_water.clone();
        let task = async move { serve(far, low_water, peer, &context, &stop).await };
        (near, self.tasks.spawn(task))
    }

    pub(super) fn dial(&mut self) -> (DuplexStream, JoinHandle<Ended>) {
        self.dial_from("192.0.2.1:5000")
    }

    /// A peer that has shaken hands and says whatever a test wants.
    pub(super) async fn raw(&mut self) -> Raw {
        let (stream, server) = self.dial();
        let mut raw = Raw { stream, writer: Writer::new(), server };
        raw.send(&[&[3][..], &[0; 2 * 1_536]].concat()).await;
        raw
    }

    /// The same up to a publication; `properties` stand in `connect` beside the app.
    pub(super) async fn raw_publisher(&mut self, properties: &[(&str, Value)]) -> Raw {
        let mut raw = self.raw().await;
        raw.connect("live", properties).await;
        let key = self.key.clone();
        raw.publish(key.reveal(), "live").await;
        raw.read_until("NetStream.Publish.Start").await;
        raw
    }

    /// An encoder that has connected.
    pub(super) async fn encoder(&mut self) -> Encoder {
        let (stream, server) = self.dial();
        Encoder::connect(stream, server).await
    }

    /// An encoder that is allowed to publish.
    pub(super) async fn publisher(&mut self) -> Encoder {
        let mut encoder = self.encoder().await;
        let key = self.key.clone();
        encoder.publish(key.reveal()).await;
        encoder.wait_for("NetStream.Publish.Start").await;
        encoder
    }

    /// The counters as an operator sees them.
    pub(super) fn metrics(&self) -> String {
        let (mut registry, mut text) =
            (prometheus_client::registry::Registry::default(), String::new());
        self.context.metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// The sum of a counter over its labels.
    pub(super) fn counter(&self, name: &str) -> u64 {
        let (text, name) = (self.metrics(), format!("rtmp_{name}_total"));
        let lines = text.lines().filter(|line| line.starts_with(&name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    pub(super) fn state(&self) -> Option<BroadcastState> {
        let channel = ChannelId::parse("demo").unwrap();
        self.context.registry.find(&channel).map(|broadcast| broadcast.state())
    }

    pub(super) fn broadcast_id(&self) -> Option<BroadcastId> {
        let channel = ChannelId::parse("demo").unwrap();
        self.context.registry.find(&channel).map(|broadcast| broadcast.id())
    }
}

/// A peer without manners: it sends what it is told to.
pub(super) struct Raw {
    pub(super) stream: DuplexStream,
    pub(super) writer: Writer,
    pub(super) server: JoinHandle<Ended>,
}

impl Raw {
    /// What a server that has gone does not take shows in how it ended.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(super) async fn message(&mut self, timestamp: u32, kind: u8, body: impl Into<Bytes>) {
        self.writer.raw(timestamp, kind, 1, body.into());
        let bytes = self.writer.take();
        self.send(&bytes).await;
    }

    pub(super) async fn call(&mut self, stream: u32, name: &str, arguments: &[Value]) {
        let values = [&[name.into(), 1.0.into()], arguments].concat();
        self.writer.command(stream, &values);
        let bytes = self.writer.take();
        self.send(&bytes).await;
    }

    pub(super) async fn connect(&mut self, app: &str, properties: &[(&str, Value)]) {
        let pairs = [&[("app", app.into())], properties].concat();
        self.call(0, "connect", &[Value::object(pairs)]).await;
        self.call(0, "createStream", &[Value::Null]).await;
    }

    pub(super) async fn publish(&mut self, key: &str, kind: &str) {
        self.call(1, "publish", &[Value::Null, key.into(), kind.into()]).await;
    }

    /// Reads until these bytes came.
    pub(super) async fn read_until(&mut self, wanted: &str) {
        let (mut received, mut piece) = (Vec::<u8>::new(), vec![0; 4_096]);
        while !received.windows(wanted.len()).any(|part| part == wanted.as_bytes()) {
            let count = self.stream.read(&mut piece).await.unwrap();
            assert_ne!(count, 0, "closed without {wanted}");
            received.extend(&piece[..count]);
        }
    }

    /// Reads to the end and answers why it came.
    pub(super) async fn end(mut self) -> Cause {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        drop(self.stream);
        self.server.await.unwrap().cause
    }
}

/// A foreign peer: the public library's client.
pub(super) struct Encoder {
    pub(super) stream: DuplexStream,
    pub(super) session: ClientSession,
    pub(super) server: JoinHandle<Ended>,
    /// Codes of statuses, in the order they came; an accepted publish is its code.
    pub(super) codes: Vec<String>,
    /// Everything received.
    pub(super) received: Vec<u8>,
    /// Bytes sent, from the handshake on, and the newest total that came back.
    pub(super) sent: usize,
    pub(super) acknowledged: u32,
}

impl Encoder {
    pub(super) async fn connect(mut stream: DuplexStream, server: JoinHandle<Ended>) -> Self {
        let mut handshake = rml_rtmp::handshake::Handshake::new(PeerType::Client);
        let hello = handshake.generate_outbound_p0_and_p1().unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut reply = vec![0; 1 + 2 * 1_536];
        stream.read_exact(&mut reply).await.unwrap();
        let done = handshake.process_bytes(&reply).unwrap();
        let HandshakeProcessResult::Completed { response_bytes, .. } = done else { panic!() };
        stream.write_all(&response_bytes).await.unwrap();

        let (session, first) = ClientSession::new(ClientSessionConfig::new()).unwrap();
        let (codes, received) = (Vec::new(), Vec::new());
        let sent = hello.len() + response_bytes.len();
        let mut encoder = Self { stream, session, server, codes, received, sent, acknowledged: 0 };
        encoder.handle(first).await;
        let connect = encoder.session.request_connection("live".to_owned()).unwrap();
        encoder.handle(vec![connect]).await;
        encoder.wait_for("connected").await;
        encoder
    }

    pub(super) async fn publish(&mut self, key: &str) {
        let live = PublishRequestType::Live;
        let asked = self.session.request_publishing(key.to_owned(), live).unwrap();
        self.handle(vec![asked]).await;
    }

    pub(super) async fn handle(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    self.sent += packet.bytes.len();
                    // A server that has gone shows in the next read.
                    let _ = self.stream.write_all(&packet.bytes).await;
                }
                ClientSessionResult::RaisedEvent(event) => self.note(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    fn note(&mut self, event: ClientSessionEvent) {
        match event {
            ClientSessionEvent::ConnectionRequestAccepted => self.codes.push("connected".into()),
            ClientSessionEvent::PublishRequestAccepted => {
                self.codes.push("NetStream.Publish.Start".into());
            }
            ClientSessionEvent::UnhandleableOnStatusCode { code } => self.codes.push(code),
            ClientSessionEvent::AcknowledgementReceived { bytes_received } => {
                self.acknowledged = bytes_received;
            }
            ClientSessionEvent::ConnectionRequestRejected { .. }
            | ClientSessionEvent::PlaybackRequestAccepted
            | ClientSessionEvent::StreamMetadataReceived { .. }
            | ClientSessionEvent::VideoDataReceived { .. }
            | ClientSessionEvent::AudioDataReceived { .. }
            | ClientSessionEvent::UnhandleableAmf0Command { .. }
            | ClientSessionEvent::UnknownTransactionResultReceived { .. }
            | ClientSessionEvent::PingResponseReceived { .. } => {}
        }
    }

    /// Reads once; false at the end.
    pub(super) async fn read(&mut self) -> bool {
        let mut bytes = vec![0; 4_096];
        let Ok(count @ 1..) = self.stream.read(&mut bytes).await else { return false };
        self.received.extend(&bytes[..count]);
        let results = self.session.handle_input(&bytes[..count]).unwrap();
        self.handle(results).await;
        true
    }

    pub(super) async fn wait_for(&mut self, code: &str) {
        while !self.codes.iter().any(|known| known == code) {
            assert!(self.read().await, "closed without {code}: {:?}", self.codes);
        }
    }

    /// Reads to the end and answers how the server saw it.
    pub(super) async fn end(mut self) -> (Cause, Vec<String>) {
        while self.read().await {}
        let Self { stream, server, codes, .. } = self;
        drop(stream);
        (server.await.unwrap().cause, codes)
    }

    pub(super) async fn video(&mut self, millis: u32, body: Bytes) {
        let time = RtmpTimestamp::new(millis);
        let sent = self.session.publish_video_data(body, time, false).unwrap();
        self.handle(vec![sent]).await;
    }

    pub(super) async fn audio(&mut self, millis: u32, body: Bytes) {
        let time = RtmpTimestamp::new(millis);
        let sent = self.session.publish_audio_data(body, time, false).unwrap();
        self.handle(vec![sent]).await;
    }

    /// Configuration and a keyframe: enough to be on air, once the intake has seen that no audio
    /// comes.
    pub(super) async fn go_live(&mut self, world: &World) {
        self.video(0, clips::avc_config()).await;
        self.video(0, clips::avc_frame(true, 100)).await;
        for frame in 1..1_000 {
            if world.state() == Some(BroadcastState::Live) {
                return;
            }
            self.video(frame * 40, clips::avc_frame(frame % 10 == 0, 100)).await;
            time::sleep(Duration::from_millis(40)).await;
        }
        panic!("never on air");
    }

    /// Sends media until that other encoder was replaced.
    pub(super) async fn go_live_over(&mut self, other: &Self) {
        self.video(0, clips::avc_config()).await;
        for frame in 0..1_000 {
            if other.server.is_finished() {
                return;
            }
            self.video(frame * 40, clips::avc_frame(frame % 10 == 0, 100)).await;
            time::sleep(Duration::from_millis(40)).await;
        }
        panic!("never replaced it");
    }

    pub(super) async fn send_for(&mut self, from: u32, frames: u32) {
        for frame in 0..frames {
            self.video(from + frame * 40, clips::avc_frame(frame % 10 == 0, 100)).await;
            time::sleep(Duration::from_millis(40)).await;
        }
    }
}
