//! Whole roads: a publication in the hub, a packager behind it, and requests through a pipe.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AdminServer, Context, Metrics, Readiness, Server, Settings};
use crate::accounts::Keys;
use crate::base::{BroadcastId, ChannelId, Clock, ConnId, KeyId, Limits, Pressure, WallTime};
use crate::gate::{Admission, Policy, Schedule, ScheduleSettings};
use crate::hub::{self, EndReason, Publication, Publisher, Registry};
use crate::live::{self, Directory, Supervisor};
use crate::store;
use crate::testing::clips;
use crate::testing::clock::RuntimeClock;

/// 2026-11-21T08:00:00Z
const START: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
const FRAME: Duration = Duration::from_millis(40);
const GOP_FRAMES: i64 = 25;

struct World {
    server: Server,
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
        Self::with(Limits::default(), Settings::default(), Policy::default()).await
    }

    async fn with(limits: Limits, settings: Settings, policy: Policy) -> Self {
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
            settings: live::Settings::default(),
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
        let context = Context {
            settings,
            limits: Arc::clone(&limits),
            clock: Arc::clone(&clock),
            directory,
            keys,
            policy: heard,
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
                limits,
                tracker.clone(),
            ),
            server: Server::new(context, tracker),
            registry,
            clock,
            policy,
            readiness,
            metrics,
            stop,
        }
    }

    fn publish(&self) -> Encoder {
        let now = self.clock.now();
        let permit = Policy::default().admit(&channel("demo"), Admission::Start, now.wall).unwrap();
        let publisher = Publisher {
            conn: ConnId(1),
            key: KeyId::new("k"),
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

fn channel(name: &str) -> ChannelId {
    ChannelId::parse(name).unwrap()
}

fn unpack(gzip: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    text
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

/// H1, H70, H109, H117: a viewer's first two requests.
#[tokio::test(start_paused = true)]
async fn a_broadcast_is_found_and_listed() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;

    let multivariant = world.get("/demo/index.m3u8").await;
    assert_eq!(multivariant.status, 200);
    assert_eq!(multivariant.field("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(multivariant.field("cache-control"), Some("max-age=1"));
    assert_eq!(multivariant.field("access-control-allow-origin"), Some("*"));
    for alias in ["/hls/demo.m3u8", "/live/demo.m3u8"] {
        let reply = world.get(alias).await;
        assert!(reply.text().lines().last().unwrap().starts_with("../demo/"), "{}", reply.text());
    }

    let address = world.playlist().await;
    let plain = world.get(&address).await;
    assert_eq!((plain.status, plain.after), (200, Duration::ZERO), "H105: at once");
    assert_eq!(plain.field("cache-control"), Some("max-age=1"), "H111: half a target");
    assert_eq!(plain.field("vary"), Some("accept-encoding"));
    assert_eq!(plain.field("content-encoding"), None);
    let packed = world.ask("GET", &address, "Accept-Encoding: gzip, br\r\n").await;
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    assert_eq!(packed.field("vary"), Some("accept-encoding"));
    assert_eq!(unpack(&packed.body), plain.text());
    assert_ne!(packed.field("etag"), plain.field("etag"));
}

/// H104: HEAD says what GET says, and a known version is not sent again.
#[tokio::test(start_paused = true)]
async fn head_and_conditions() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let got = world.get(&address).await;
    let headed = world.ask("HEAD", &address, "").await;
    assert_eq!(got.head.to_lowercase(), headed.head.to_lowercase());

    let etag = got.field("etag").unwrap();
    for fields in [format!("If-None-Match: {etag}\r\n"), "If-None-Match: *\r\n".to_owned()] {
        let same = world.ask("GET", &address, &fields).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        assert_eq!(same.field("etag"), Some(etag));
        assert_eq!(same.field("cache-control"), Some("max-age=1"));
        assert_eq!(same.field("access-control-allow-origin"), Some("*"));
    }
    let other = world.ask("GET", &address, "If-None-Match: \"other\"\r\n").await;
    assert_eq!(other.status, 200);
}

/// H92, H104, H111: a reload is held until the part exists, and no condition cuts that short.
#[tokio::test(start_paused = true)]
async fn a_reload_is_held_for_its_part() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let now = world.get(&address).await;
    let next = last_msn(now.text()) + 2;
    let etag = now.field("etag").unwrap();

    let mut io = world.connect();
    let target = format!("{address}?_HLS_part=0&_HLS_msn={next}");
    let fields = format!("If-None-Match: {etag}\r\n");
    let (held, ()) = tokio::join!(ask(&mut io, "GET", &target, &fields), encoder.send(3.0));
    assert_eq!(held.status, 200);
    assert!(Duration::from_millis(300) < held.after, "{:?}", held.after);
    assert!(held.text().contains(&format!("s{}.m4s", next - 1)), "{}", held.text());
    assert_eq!(held.field("cache-control"), Some("max-age=12"), "six targets");
    assert_eq!(world.metrics.held(), 0);
}

/// H96, H111: media that does not come in three targets is a 503, never an older playlist.
#[tokio::test(start_paused = true)]
async fn a_hold_ends_after_three_targets() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let late = world.get(&format!("{address}?_HLS_msn={next}")).await;
    assert_eq!(late.status, 503, "{}", late.head);
    assert_eq!(late.after.as_secs(), 6);
    assert_eq!(late.field("retry-after"), Some("1"));
    assert_eq!(late.field("cache-control"), Some("max-age=1"));
    assert_eq!(late.field("access-control-allow-origin"), Some("*"));
    assert_eq!(late.problem(), "held-too-long");
}

/// H90, H94, H95, H99, W18: wrong directives are told at once.
#[tokio::test(start_paused = true)]
async fn wrong_directives_are_told_at_once() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let msn = last_msn(world.get(&address).await.text());
    for (query, problem) in [
        ("_HLS_part=1".to_owned(), "directives"),
        ("_HLS_msn=-1".to_owned(), "directives"),
        ("_HLS_msn=1&_HLS_msn=1".to_owned(), "directives"),
        (format!("_HLS_msn={}", msn + 5), "too-far-ahead"),
        (format!("_HLS_msn={}&_HLS_part=999", msn + 1), "too-far-ahead"),
        ("a=b&".repeat(17), "query-too-long"),
    ] {
        let reply = world.get(&format!("{address}?{query}")).await;
        assert_eq!((reply.status, reply.after), (400, Duration::ZERO), "{query}");
        assert_eq!(reply.problem(), problem, "{query}");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "H117");
        assert!(!reply.json()["request_id"].as_str().unwrap().is_empty(), "W8");
    }
    let ignored = world.get(&format!("{address}?_HLS_new=1")).await;
    assert_eq!(ignored.status, 200);
}

/// H32, H108, H111, H113, H114: segments, parts and init segments.
#[tokio::test(start_paused = true)]
async fn media_is_sent_whole_and_in_ranges() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let playlist = world.get(&address).await;
    let segment = format!("{folder}{}", last_segment(playlist.text()));

    for (name, content_type, cache) in [
        (segment.clone(), "video/iso.segment", "max-age=86400, immutable"),
        (format!("{folder}init-1.mp4"), "video/mp4", "max-age=86400, immutable"),
        (format!("{folder}p2.m4s"), "video/iso.segment", "max-age=12"),
    ] {
        let whole = world.get(&name).await;
        assert_eq!((whole.status, whole.after), (200, Duration::ZERO), "{name}");
        assert_eq!(whole.field("content-type"), Some(content_type));
        assert_eq!(whole.field("cache-control"), Some(cache), "{name}");
        assert_eq!(whole.field("accept-ranges"), Some("bytes"));
        assert_eq!(whole.field("access-control-allow-origin"), Some("*"));
        assert_eq!(whole.field("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(world.ask("HEAD", &name, "").await.head, whole.head);
    }

    let whole = world.get(&segment).await;
    let len = whole.body.len();
    let part = world.ask("GET", &segment, "Range: bytes=10-19\r\n").await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[10..20]));
    assert_eq!(part.field("content-range"), Some(&*format!("bytes 10-19/{len}")));
    let tail = world.ask("GET", &segment, "Range: bytes=-5\r\n").await;
    assert_eq!((tail.status, &tail.body[..]), (206, &whole.body[len - 5..]));
    let several = world.ask("GET", &segment, "Range: bytes=0-1,3-4\r\n").await;
    assert_eq!((several.status, several.body.len()), (200, len));
    let outside = world.ask("GET", &segment, &format!("Range: bytes={len}-\r\n")).await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.field("content-range"), Some(&*format!("bytes */{len}")));
}

/// H106, H83: the hinted part is held and comes whole.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_is_whole() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let playlist = world.get(&address).await;
    let hinted = format!("{folder}{}", hinted_part(playlist.text()));
    let mut io = world.connect();
    let (part, ()) = tokio::join!(ask(&mut io, "GET", &hinted, ""), encoder.send(1.0));
    assert_eq!(part.status, 200);
    assert!(Duration::ZERO < part.after && part.after < Duration::from_millis(400));
    assert_eq!(part.field("cache-control"), Some("max-age=12"));
    assert_eq!(world.get(&hinted).await.body, part.body);
}

/// W9: while memory runs out newcomers get plain playlists, then nothing; who is there goes on.
#[tokio::test(start_paused = true)]
async fn an_overloaded_server_gives_up_newcomers_first() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let low_latency = world.playlist().await;

    world.registry.pressure().replace(Pressure::PlainPlaylists);
    let plain = world.playlist().await;
    assert_eq!(plain, low_latency.replace("live.m3u8", "plain.m3u8"));
    let (there, new) = (world.get(&low_latency).await, world.get(&plain).await);
    assert!(there.text().contains("#EXT-X-PART:"));
    for word in ["EXT-X-PART", "EXT-X-PRELOAD-HINT", "CAN-BLOCK-RELOAD"] {
        assert!(!new.text().contains(word), "{word} in {}", new.text());
    }
    assert!(new.text().ends_with(&format!("{}\n", last_segment(there.text()))));
    assert_ne!(new.field("etag"), there.field("etag"));

    world.registry.pressure().replace(Pressure::NoNewViewers);
    for target in ["/demo/index.m3u8", "/hls/demo.m3u8"] {
        let refused = world.get(target).await;
        assert_eq!((refused.status, &*refused.problem()), (503, "overloaded"));
        assert_eq!(refused.field("retry-after"), Some("10"));
    }
    for target in [&low_latency, &plain] {
        assert_eq!(world.get(target).await.status, 200);
    }
    let segment = low_latency.replace("live.m3u8", last_segment(there.text()));
    assert_eq!(world.get(&segment).await.status, 200);

    encoder.send(2.0).await;
    assert_eq!(world.playlist().await, low_latency, "it passes");
}

/// H107, H117: what is unknown is told at once, in a form that players on other sites can read.
#[tokio::test(start_paused = true)]
async fn unknown_things_are_told_at_once() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    for (target, problem) in [
        ("/nobody/index.m3u8".to_owned(), "channel-unknown"),
        ("/quiet/index.m3u8".to_owned(), "channel-offline"),
        ("/hls/quiet.m3u8".to_owned(), "channel-offline"),
        ("/demo/1/live.m3u8".to_owned(), "broadcast-unknown"),
        ("/demo/1/s1.m4s".to_owned(), "broadcast-unknown"),
        (format!("{folder}s7.m4s"), "media-unknown"),
        (format!("{folder}p999999.m4s"), "media-unknown"),
        (format!("{folder}init-9.mp4"), "media-unknown"),
        (format!("{folder}other.m4s"), "not-found"),
    ] {
        let reply = world.get(&target).await;
        assert_eq!((reply.status, reply.after), (404, Duration::ZERO), "{target}");
        assert_eq!(reply.problem(), problem, "{target}");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "{target}");
        assert_eq!(reply.field("cache-control"), Some("max-age=1"), "{target}");
    }
}

/// A viewer who comes while the encoder starts gets the first playlist, not a 404.
#[tokio::test(start_paused = true)]
async fn a_starting_broadcast_is_waited_for() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    let mut io = world.connect();
    let viewing = async {
        let multivariant = ask(&mut io, "GET", "/demo/index.m3u8", "").await;
        assert_eq!(multivariant.status, 200, "{}", multivariant.head);
        let line = multivariant.text().lines().last().unwrap().to_owned();
        let playlist = ask(&mut io, "GET", &format!("/demo/{line}"), "").await;
        assert_eq!(playlist.status, 200, "{}", playlist.head);
        assert!(playlist.text().contains("#EXTINF"), "a whole segment: {}", playlist.text());
    };
    tokio::join!(viewing, encoder.send(6.0));
}

/// The same, and the encoder sends no more: the wait is bounded, and asks to come again.
#[tokio::test(start_paused = true)]
async fn a_start_without_media_is_not_waited_for_without_end() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    let reply = world.get("/demo/index.m3u8").await;
    assert_eq!((reply.status, reply.after.as_secs()), (503, 12));
    assert_eq!(reply.problem(), "channel-starting");
    assert_eq!(reply.field("retry-after"), Some("1"));
}

/// H29, H30, H100: the end wakes whoever waits, and from then on nothing is held.
#[tokio::test(start_paused = true)]
async fn the_end_answers_whoever_waits() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let mut io = world.connect();
    let target = format!("{address}?_HLS_msn={next}");
    let ending = async {
        sleep(Duration::from_millis(500)).await;
        encoder.finish();
    };
    let (held, ()) = tokio::join!(ask(&mut io, "GET", &target, ""), ending);
    assert_eq!(held.status, 200);
    assert!(held.after < Duration::from_millis(1_500), "{:?}", held.after);
    assert!(held.text().contains("#EXT-X-ENDLIST"));

    for query in ["", "?_HLS_part=1", "?_HLS_msn=abc", "?_HLS_msn=99999999999"] {
        let reply = world.get(&format!("{address}{query}")).await;
        assert_eq!((reply.status, reply.after), (200, Duration::ZERO), "{query}");
        assert_eq!(reply.body, held.body, "{query}");
    }
    let state = world.get("/api/v1/channels/demo").await.json()["state"].clone();
    assert_eq!(state, "ended");

    sleep(Duration::from_secs(605)).await;
    assert_eq!(world.get(&address).await.status, 410, "H31");
    assert_eq!(world.get("/demo/index.m3u8").await.problem(), "channel-offline");
    let state = world.get("/api/v1/channels/demo").await.json()["state"].clone();
    assert_eq!(state, "offline");
}

/// W4: too many held requests are told so, and answered again when others are done.
#[tokio::test(start_paused = true)]
async fn holds_have_a_ceiling() {
    let limits = Limits { blocked_requests_max: 2, ..Limits::default() };
    let world = World::with(limits, Settings::default(), Policy::default()).await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let target = format!("{address}?_HLS_msn={next}");
    let mut pipes = [world.connect(), world.connect()];
    for io in &mut pipes {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.metrics.held(), 2);
    let refused = world.get(&target).await;
    assert_eq!((refused.status, refused.after), (503, Duration::ZERO));
    assert_eq!(refused.problem(), "too-many-held");
    assert_eq!(world.get(&address).await.status, 200, "what need not wait is answered");
    drop(pipes);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.metrics.held(), 0, "W6");
}

/// W21, W23: methods.
#[tokio::test(start_paused = true)]
async fn other_methods_are_refused_and_preflights_answered() {
    let world = World::new().await;
    for method in ["POST", "PUT", "DELETE", "TRACE", "PATCH", "BREW"] {
        let reply = world.ask(method, "/demo/index.m3u8", "").await;
        assert_eq!((reply.status, reply.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
        assert_eq!(reply.problem(), "method");
    }
    let origin = "Origin: https://other.example\r\nAccess-Control-Request-Method: GET\r\n";
    let reply = world.ask("OPTIONS", "/demo/index.m3u8", origin).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.field("access-control-allow-credentials"), None);
    assert_eq!(reply.field("access-control-max-age"), Some("86400"));
}

/// W19, W29, W30: pages.
#[tokio::test(start_paused = true)]
async fn pages_are_guarded() {
    let world = World::new().await;
    for target in ["/", "/demo", "/sunset"] {
        let page = world.get(target).await;
        assert_eq!(page.status, 200, "{target}");
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
        let csp = page.field("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
        assert!(csp.contains("media-src 'self' blob:"), "{csp}");
        assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
        assert!(page.field("access-control-allow-origin").is_none(), "{target}");
        assert!(page.field("cache-control").is_some(), "{target}");
    }
    let embed = world.get("/embed/demo").await;
    assert!(embed.field("content-security-policy").unwrap().ends_with("frame-ancestors *"));
    let slash = world.get("/demo/").await;
    assert_eq!((slash.status, slash.field("location")), (308, Some("../demo")));
    let unknown = world.ask("GET", "/nobody", "Accept: text/html\r\n").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(world.get("/nobody").await.problem(), "channel-unknown");
    assert_eq!(world.get("/favicon.ico").await.status, 200);
    let french = world.ask("GET", "/", "Accept-Language: fr\r\n").await;
    assert_eq!(french.field("content-language"), Some("fr"));
}

/// W20, W16: fields that no cache knows change nothing.
#[tokio::test(start_paused = true)]
async fn unkeyed_fields_change_nothing() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    for target in ["/", "/demo", "/demo/", "/api/v1/channels", "/demo/index.m3u8", &address] {
        let plain = world.get(target).await;
        for field in [
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Proto: https",
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Prefix: /evil",
            "X-Forwarded-Port: 1",
            "Forwarded: host=evil.example",
            "X-Original-URL: /sunset",
            "X-Rewrite-URL: /sunset",
            "X-HTTP-Method-Override: DELETE",
            "X-Method-Override: POST",
            "X-Host: evil.example",
            "X-Real-IP: 1.2.3.4",
            "True-Client-IP: 1.2.3.4",
            "CF-Connecting-IP: 1.2.3.4",
            "Via: 1.1 evil",
            "Origin: https://evil.example",
            "Referer: https://evil.example/",
            "Cookie: a=b",
            "Authorization: Basic YTpi",
            "User-Agent: <script>",
            "Accept-Charset: utf-7",
            "X-Wap-Profile: x",
            "Max-Forwards: 0",
            "DNT: 1",
            "Save-Data: on",
            "TE: trailers",
            "Cache-Control: no-cache",
            "Pragma: no-cache",
            "X-ATT-DeviceId: x",
            "Priority: u=0",
        ] {
            let other = world.ask("GET", target, &format!("{field}\r\n")).await;
            assert_eq!(
                (other.status, &other.body),
                (plain.status, &plain.body),
                "{target} {field}"
            );
        }
    }
}

/// W15
#[tokio::test(start_paused = true)]
async fn only_listed_hosts_are_answered() {
    let settings = Settings { hosts: vec!["video.example".to_owned()], ..Settings::default() };
    let world = World::with(Limits::default(), settings, Policy::default()).await;
    let reply = world.get("/demo/index.m3u8").await;
    assert_eq!((reply.status, reply.problem().as_str()), (421, "host-unknown"));
}

/// D38
#[tokio::test(start_paused = true)]
async fn ready_is_not_the_same_as_alive() {
    let world = World::new().await;
    let mut admin = {
        let (ours, theirs) = duplex(1024);
        world.admin.serve_stream(theirs, &world.stop);
        ours
    };
    for (step, ready) in [("starting", 503), ("open", 200), ("draining", 503)] {
        match step {
            "open" => world.readiness.open(),
            "draining" => world.readiness.drain(),
            _ => {}
        }
        assert_eq!(world.get("/readyz").await.status, ready, "{step}");
        assert_eq!(world.get("/healthz").await.status, 200, "{step}");
        assert_eq!(ask(&mut admin, "GET", "/readyz", "").await.status, ready, "{step}");
    }
    world.readiness.open();
    assert_eq!(world.get("/readyz").await.status, 503, "draining is for good");

    let figures = ask(&mut admin, "GET", "/metrics", "").await;
    assert_eq!((figures.status, figures.text()), (200, "# EOF\n"));
    assert_eq!(world.get("/metrics").await.status, 404, "W58: not for viewers");
    assert_eq!(ask(&mut admin, "POST", "/metrics", "").await.status, 405);
    assert_eq!(ask(&mut admin, "GET", "/demo", "").await.status, 404);
}

/// The page's own source of truth.
#[tokio::test(start_paused = true)]
async fn the_status_tells_how_a_channel_stands() {
    let world = World::new().await;
    let state = |reply: &Reply| reply.json()["state"].as_str().unwrap().to_owned();
    let offline = world.get("/api/v1/channels/demo").await;
    assert_eq!(state(&offline), "offline");
    assert_eq!(offline.field("cache-control"), Some("max-age=1"));
    assert_eq!(offline.json()["playlist"], serde_json::Value::Null);
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    assert_eq!(state(&world.get("/api/v1/channels/demo").await), "starting");
    encoder.send(5.0).await;
    let live = world.get("/api/v1/channels/demo").await;
    assert_eq!(state(&live), "live");
    let document = live.json();
    assert_eq!(document["playlist"], "/demo/index.m3u8");
    assert_eq!(document["started_at"], START.to_string());
    assert_eq!(document["sunset"], serde_json::Value::Null);
    let listed = world.get("/api/v1/channels").await.json();
    assert_eq!(listed["channels"][0]["channel"], "demo");
    assert_eq!(listed["channels"].as_array().unwrap().len(), 1);
}

mod sunset {
    use super::*;

    fn policy(announced_at: u64, publish_close_at: u64, rehearsal: bool) -> Policy {
        let at = |seconds| Some((START + Duration::from_secs(seconds)).to_string());
        let settings = ScheduleSettings {
            announced_at: at(announced_at),
            publish_close_at: at(publish_close_at),
            ..ScheduleSettings::default()
        };
        let schedule = Schedule::build(&settings).unwrap();
        if rehearsal {
            Policy::rehearsal(schedule)
        } else {
            Policy::default().with_schedule(schedule)
        }
    }

    async fn world(policy: Policy) -> World {
        World::with(Limits::default(), Settings::default(), policy).await
    }

    /// sunset.md 4: headers from the announcement on, not before; G16: nothing is kept past the
    /// next edge, to the second.
    #[tokio::test(start_paused = true)]
    async fn the_end_is_told_from_its_announcement_on() {
        let world = world(policy(10, 3_600, false)).await;
        let mut encoder = world.publish();
        encoder.send(8.5).await;
        let address = world.playlist().await;
        let folder = address.strip_suffix("live.m3u8").unwrap();
        let init = format!("{folder}init-1.mp4");
        let before = world.get(&init).await;
        assert_eq!(before.field("sunset"), None);
        assert_eq!(before.field("cache-control"), Some("max-age=1"), "an edge in 1.5 s");

        encoder.send(2.0).await;
        for target in ["/demo/index.m3u8", &address, &init, "/demo", "/api/v1/channels/demo"] {
            let after = world.get(target).await;
            assert!(after.field("sunset").unwrap().ends_with(" GMT"), "{target}");
            assert!(after.field("deprecation").unwrap().starts_with('@'), "{target}");
            assert!(after.field("link").unwrap().contains("rel=\"sunset\""), "{target}");
        }
        let missing = world.get(&format!("{folder}s7.m4s")).await;
        assert!(missing.field("sunset").is_some(), "errors too");
        assert_eq!(world.get("/healthz").await.field("sunset"), None);
    }

    /// sunset.md 4: 410 with a problem document for programs and the page of the end for people;
    /// what never existed stays 404; what runs is played to its end.
    #[tokio::test(start_paused = true)]
    async fn after_the_closing_what_cannot_come_back_is_gone() {
        let world = world(policy(0, 8, false)).await;
        let mut encoder = world.publish();
        encoder.send(6.0).await;
        assert_eq!(world.get("/quiet/index.m3u8").await.status, 404, "not closed yet");
        encoder.send(3.0).await;

        for target in ["/quiet/index.m3u8", "/hls/quiet.m3u8", "/quiet/zz/s1.m4s", "/quiet"] {
            let gone = world.get(target).await;
            assert_eq!(gone.status, 410, "{target}");
            assert_eq!(gone.problem(), "broadcasts-closed");
            assert_eq!(gone.field("cache-control"), Some("no-store"), "it may still be extended");
            let document = gone.json();
            assert_eq!((&document["retry"], &document["status"]), (&false.into(), &410.into()));
            assert_eq!(document["phase"], "finishing");
            assert!(document["closed_at"].is_string() && document["server_time"].is_string());
            assert!(document["still_possible"].is_array());
        }
        let page = world.ask("GET", "/quiet", "Accept: text/html\r\n").await;
        assert_eq!(page.status, 410);
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(world.get("/nobody/index.m3u8").await.status, 404);
        assert_eq!(world.get("/demo/index.m3u8").await.status, 200, "policy finish");
        assert_eq!(world.get("/sunset").await.status, 200);
        let state = world.get("/api/v1/channels/quiet").await.json()["state"].clone();
        assert_eq!(state, "closed");
        let document = world.get("/.well-known/sunset.json").await.json();
        assert_eq!(document["phase"], "finishing");
    }

    /// A rehearsal is marked in every answer.
    #[tokio::test(start_paused = true)]
    async fn a_rehearsal_is_marked_everywhere() {
        let world = world(policy(0, 8, true)).await;
        let mark = START.to_string();
        for target in ["/", "/demo", "/nobody", "/demo/index.m3u8", "/healthz", "/favicon.ico"] {
            let reply = world.get(target).await;
            assert_eq!(reply.field("ghostlight-simulated-at"), Some(mark.as_str()), "{target}");
        }
    }

    /// A schedule that moves is heard at once.
    #[tokio::test(start_paused = true)]
    async fn a_new_policy_is_heard() {
        let world = world(Policy::default()).await;
        assert_eq!(world.get("/quiet").await.status, 200);
        world.policy.send_replace(Arc::new(policy(0, 1, false)));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.get("/quiet").await.status, 410);
        world.policy.send_replace(Arc::new(policy(0, 60, false)));
        assert_eq!(world.get("/quiet").await.status, 200);
    }
}
