//! Whole roads: a publication in the hub, a packager behind it, and requests through a pipe.

mod caching;
mod holding;
mod media;
mod pages;
mod playlists;
mod sunset;
mod versions;

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Version};
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, Response, Site, Visit};
use super::site::Viewers;
use super::{AdminServer, Context, Metrics, Readiness, Server, Settings};
use crate::accounts::Keys;
use crate::base::{
    BroadcastId, ChannelId, Clock, ConnId, KeyId, Limits, Pressure, Rival, Scarce, WallTime,
};
use crate::gate::{Admission, Policy, Schedule, ScheduleSettings};
use crate::hls;
use crate::hub::{self, EndReason, Publication, Publisher, Registry};
use crate::live::{self, Directory, Supervisor};
use crate::store;
use crate::testing::clips;
use crate::testing::clock::RuntimeClock;

/// 2026-11-21T08:00:00Z
const START: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
const FRAME: Duration = Duration::from_millis(40);
const GOP_FRAMES: i64 = 25;

/// What a test may want otherwise.
#[derive(Default)]
struct Setup {
    limits: Limits,
    settings: Settings,
    policy: Policy,
    hls: hls::Settings,
}

struct World {
    server: Server,
    /// The same without connections.
    site: Arc<Viewers>,
    directory: Directory,
    admin: AdminServer,
    registry: Registry,
    clock: Arc<dyn Clock>,
    policy: watch::Sender<Arc<Policy>>,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
}

/// An answer, its body unpacked from nothing.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
    after: Duration,
}

impl Reply {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The word at the end of a problem's type.
    fn problem(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"));
        let kind = self.json()["type"].as_str().expect("a type").to_owned();
        kind.rsplit([':', '#']).next().expect("a word").to_owned()
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let Setup { limits, settings, policy, hls } = setup;
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(START));
        let store = store::in_memory();
        for name in ["demo", "quiet"] {
            store.create_channel(&channel(name), START).await.unwrap();
        }
        let keys = Keys::open(store, clock.now()).await.unwrap();
        let registry =
            Registry::new(limits.clone(), hub::Settings::default(), BroadcastId::new(1_000));
        let directory = Directory::new();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut figures = MetricRegistry::default();
        let supervisor = Supervisor::new(live::Context {
            registry: registry.clone(),
            directory: directory.clone(),
            clock: Arc::clone(&clock),
            settings: live::Settings { hls, ..live::Settings::default() },
            limits: limits.clone(),
            closing: watch::channel(None).1,
            metrics: live::Metrics::register(&mut figures),
            tasks: tracker.clone(),
        });
        tracker.spawn(supervisor.run(stop.clone()));
        let metrics = Metrics::new(&mut figures);
        let readiness = Readiness::new();
        let (policy, heard) = watch::channel(Arc::new(policy));
        let limits = Arc::new(limits);
        let context = || Context {
            settings: settings.clone(),
            limits: Arc::clone(&limits),
            clock: Arc::clone(&clock),
            directory: directory.clone(),
            keys: keys.clone(),
            policy: heard.clone(),
            readiness: readiness.clone(),
            pressure: registry.pressure().clone(),
            metrics: metrics.clone(),
        };
        let encoder = Box::new(|| "# EOF\n".to_owned());
        Self {
            admin: AdminServer::new(
                encoder,
                readiness.clone(),
                metrics.clone(),
                Arc::clone(&limits),
                tracker.clone(),
            ),
            site: Arc::new(Viewers::new(context())),
            server: Server::new(context(), tracker),
            directory: directory.clone(),
            registry,
            clock,
            policy,
            readiness,
            metrics,
            stop,
        }
    }

    /// A broadcast of five seconds that goes on, and the address of its media playlist.
    async fn playing(setup: Setup) -> (Self, Encoder, String) {
        let world = Self::with(setup).await;
        let mut encoder = world.publish();
        encoder.send(5.0).await;
        let address = world.playlist().await;
        (world, encoder, address)
    }

    fn publish(&self) -> Encoder {
        let now = self.clock.now();
        let permit = Policy::default().admit(&channel("demo"), Admission::Start, now.wall).unwrap();
        let publisher = Publisher {
            conn: ConnId(1),
            key: KeyId::new("k"),
            rival: Rival::default(),
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
            encoder: None,
        };
        let publication = self.registry.start(permit, publisher, now).unwrap();
        Encoder { publication, clock: Arc::clone(&self.clock), frame: 0 }
    }

    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        self.server.serve_stream(theirs, None, &self.stop);
        ours
    }

    async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "").await
    }

    /// One request on a connection of its own. `fields` are whole lines.
    async fn ask(&self, method: &str, target: &str, fields: &str) -> Reply {
        let mut io = self.connect();
        ask(&mut io, method, target, fields).await
    }

    /// A request that comes through no connection of ours, from `peer`.
    fn hand_in(&self, target: &str, fields: &[(&str, &str)], peer: Option<&str>) -> Answer {
        let mut request = Request::builder().uri(target).header("host", "x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.site.answer(&request.body(()).unwrap(), &visit(peer))
    }

    /// The media playlist's address, read from the multivariant playlist.
    async fn playlist(&self) -> String {
        let multivariant = self.get("/demo/index.m3u8").await;
        assert_eq!(multivariant.status, 200, "{}", multivariant.head);
        let line = multivariant.text().lines().last().expect("a line").to_owned();
        format!("/demo/{line}")
    }
}

async fn ask(io: &mut DuplexStream, method: &str, target: &str, fields: &str) -> Reply {
    let start = Instant::now();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let end = loop {
        if let Some(end) = said.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0, "closed before the answer");
    };
    let mut body = said.split_off(end + 4);
    let head = String::from_utf8(said).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply { status, head, body: Vec::new(), after: start.elapsed() };
    let length = reply.field("content-length").map_or(0, |text| text.parse().unwrap());
    if method != "HEAD" {
        while body.len() < length {
            assert_ne!(io.read_buf(&mut body).await.unwrap(), 0, "closed within the body");
        }
        assert_eq!(body.len(), length);
    }
    reply.body = body;
    reply
}

/// Publishes video of 25 frames a second with a keyframe each second.
struct Encoder {
    publication: Publication,
    clock: Arc<dyn Clock>,
    frame: i64,
}

impl Encoder {
    /// Sends frames as they come for so many seconds.
    async fn send(&mut self, seconds: f64) {
        let format = clips::video_format();
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until {
            let key = self.frame % GOP_FRAMES == 0;
            let frame = clips::video_frame(&format, self.frame * 40, key, 400);
            self.publication.write(frame, self.clock.now().mono).unwrap();
            self.frame += 1;
            sleep(FRAME).await;
        }
    }

    fn finish(self) {
        self.publication.finish(EndReason::Finished, self.clock.now().mono);
    }
}

/// A connection from `peer` that does not exist, and its first request.
fn visit(peer: Option<&str>) -> Visit {
    Visit {
        conn: ConnId(1),
        peer: peer.map(|text| text.parse().unwrap()),
        number: 1,
        has_body: false,
        tls: false,
        pulse: Arc::default(),
    }
}

fn now(answer: Answer) -> Response {
    match answer {
        Answer::Now(response) => *response,
        Answer::Held(_) => panic!("it is held"),
    }
}

fn channel(name: &str) -> ChannelId {
    ChannelId::parse(name).unwrap()
}

fn unpack(gzip: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    text
}

/// Every address that a playlist gives and has.
fn addresses(playlist: &str) -> Vec<String> {
    let given = playlist.lines().filter(|line| !line.starts_with("#EXT-X-PRELOAD-HINT"));
    let address = |line: &str| match line.split_once("URI=\"") {
        Some((_, rest)) => rest.split('"').next().map(str::to_owned),
        None => (!line.starts_with('#')).then(|| line.to_owned()),
    };
    given.filter_map(address).collect()
}

/// The name of the last whole segment.
fn last_segment(playlist: &str) -> &str {
    let mut whole = playlist.lines().filter(|line| line.starts_with('s') && line.ends_with(".m4s"));
    whole.next_back().expect("a whole segment")
}

fn last_msn(playlist: &str) -> u64 {
    last_segment(playlist).trim_start_matches('s').trim_end_matches(".m4s").parse().unwrap()
}

/// The name of the part that the playlist says comes next.
fn hinted_part(playlist: &str) -> &str {
    let hint = playlist.lines().find(|line| line.starts_with("#EXT-X-PRELOAD-HINT"));
    hint.and_then(|line| line.split('"').nth(1)).expect("a hint")
}
