use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::header::HeaderValue;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::super::answer::{Answer, Response, Visit};
use super::super::body::PartBody;
use super::super::problem;
use super::super::site::request_id;
use super::super::vet::{Hosts, vet};
use super::*;

/// A site with one address of each kind: `/` at once, `/big` a megabyte, `/held` for ever.
#[derive(Debug, Default)]
struct Stage {
    held: Arc<AtomicBool>,
}

const BIG_CHUNKS: usize = 16;
const CHUNK_BYTES: usize = 64 * 1024;

impl Site for Stage {
    fn answer(self: &Arc<Self>, request: &Request<()>, visit: &Visit) -> Answer {
        if let Err(problem) = vet(request, visit, &Hosts::default()) {
            let mut response = problem::render(&problem, request_id(visit));
            response.headers_mut().insert("connection", HeaderValue::from_static("close"));
            return Answer::Now(Box::new(response));
        }
        match request.uri().path() {
            "/held" => {
                let held = Raised::new(&self.held);
                Answer::Held(Box::pin(async move {
                    std::future::pending::<()>().await;
                    drop(held);
                    Response::new(PartBody::empty())
                }))
            }
            "/big" => {
                let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
                let list = PartBody::list(vec![chunk; BIG_CHUNKS].into());
                Answer::Now(Box::new(Response::new(list)))
            }
            _ => {
                let body = PartBody::one(Bytes::from_static(b"ok"));
                Answer::Now(Box::new(Response::new(body)))
            }
        }
    }
}

/// A flag that is up while this lives.
struct Raised(Arc<AtomicBool>);

impl Raised {
    fn new(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(Arc::clone(flag))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

struct Rig {
    door: Door<Stage>,
    stop: CancellationToken,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let limits = Arc::new(limits);
        let slots = Slots::new(&limits, &[]);
        let setting = Setting {
            site: Arc::default(),
            metrics: Metrics::new(&mut Registry::default()),
            limits,
            tracker: TaskTracker::new(),
        };
        Self { door: Door::new(setting, slots), stop: CancellationToken::new() }
    }

    /// A connection through a pipe that holds `pipe_bytes` in each direction.
    fn connect(&self, pipe_bytes: usize) -> DuplexStream {
        let (ours, theirs) = duplex(pipe_bytes);
        self.door.welcome(theirs, None, None, &self.stop);
        ours
    }

    async fn open(&self, request: &str) -> DuplexStream {
        let mut io = self.connect(64 * 1024);
        io.write_all(request.as_bytes()).await.unwrap();
        io
    }

    /// Everything the server says to `request` until it closes.
    async fn said_to(&self, request: &str) -> String {
        let mut io = self.open(request).await;
        let mut said = Vec::new();
        io.read_to_end(&mut said).await.unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    async fn until_all_ended(&self) {
        self.door.setting.tracker.close();
        timeout(Duration::from_secs(600), self.door.setting.tracker.wait())
            .await
            .expect("all ended");
    }
}

/// Reads one answer with a body of two bytes.
async fn read_ok(io: &mut DuplexStream) {
    let mut said = Vec::new();
    while !said.ends_with(b"ok") {
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0, "closed too early");
    }
}

/// How long until the server closes, in seconds of the paused clock.
async fn closes_after(io: &mut DuplexStream) -> u64 {
    let start = Instant::now();
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    start.elapsed().as_secs()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// W7
#[test]
fn troubles_of_accept() {
    for (code, expected) in [
        (24, Trouble::Exhausted),
        (23, Trouble::Exhausted),
        (105, Trouble::Exhausted),
        (103, Trouble::Peer),
        (71, Trouble::Peer),
        (22, Trouble::Listener),
    ] {
        assert_eq!(Trouble::of(&io::Error::from_raw_os_error(code)), expected, "{code}");
    }
}

/// W1: no byte at all, half a line, and a byte now and then end at the same time.
#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds() {
    let rig = Rig::new(Limits::default());
    assert_eq!(closes_after(&mut rig.connect(1024)).await, 10);
    assert_eq!(closes_after(&mut rig.open("GET / HT").await).await, 10);

    let mut dribbling = rig.connect(1024);
    let start = Instant::now();
    for byte in GET.bytes() {
        if dribbling.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(9)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// W1: after an answer a connection may rest, and a head begun later has its own time.
#[tokio::test(start_paused = true)]
async fn a_connection_may_rest_for_a_while() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.open(GET).await;
    read_ok(&mut io).await;
    sleep(Duration::from_secs(70)).await;
    io.write_all(GET.as_bytes()).await.unwrap();
    read_ok(&mut io).await;
    assert_eq!(closes_after(&mut io).await, 75);

    let mut io = rig.open(GET).await;
    read_ok(&mut io).await;
    sleep(Duration::from_secs(30)).await;
    io.write_all(b"GET /").await.unwrap();
    assert_eq!(closes_after(&mut io).await, 10);
}

/// W2: whoever takes nothing, or too little, is let go; a slow but steady reader is not.
#[tokio::test(start_paused = true)]
async fn slow_readers_are_let_go() {
    for (bytes_each_second, survives) in [(0_usize, false), (1_000, false), (2_500, true)] {
        let rig = Rig::new(Limits::default());
        let mut io = rig.connect(1024);
        io.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut buf = vec![0; bytes_each_second.max(1)];
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            if 0 < bytes_each_second && io.read_exact(&mut buf).await.is_err() {
                break;
            }
        }
        let closed = rig.door.setting.tracker.is_empty();
        assert_eq!(!closed, survives, "{bytes_each_second} bytes a second");
    }
}

/// W14: whatever two servers may read differently is refused, and the connection ends.
#[tokio::test(start_paused = true)]
async fn ambiguous_requests_are_refused_and_end_the_connection() {
    let rig = Rig::new(Limits::default());
    for head in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0;ext=\"x\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "Content-Length: 3, 3\r\n\r\nabc",
        "Content-Length: +3\r\n\r\nabc",
        "Content-Length: 0x3\r\n\r\nabc",
        "X: a\r\n b\r\n\r\n",
        "X: a\n\r\n",
        "X: a\r\n\n",
        "X: a\rY: b\r\n\r\n",
        "X\0: a\r\n\r\n",
        "Host: y\r\n\r\n",
    ] {
        let next = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        let said = rig.said_to(&format!("GET / HTTP/1.1\r\nHost: x\r\n{head}{next}")).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{head:?}: {said}");
        assert_eq!(said.matches("\r\n\r\n").count(), 1, "nothing after it; {head:?}: {said}");
    }
}

/// W8, W24: no route takes a body.
#[tokio::test(start_paused = true)]
async fn bodies_are_not_taken() {
    let rig = Rig::new(Limits::default());
    let said = rig.said_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert!(said.contains("request_id"), "{said}");
    let coded = "POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n";
    let said = rig.said_to(coded).await;
    assert!(said.starts_with("HTTP/1.1 415 "), "{said}");
}

/// W13
#[tokio::test(start_paused = true)]
async fn heads_are_bounded() {
    let rig = Rig::new(Limits::default());
    let fields = |count: usize| "X-Y: z\r\n".repeat(count);
    let said = rig.said_to(&format!("GET / HTTP/1.1\r\n{}\r\n", fields(101))).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    let long = "a".repeat(25 * 1024);
    let said = rig.said_to(&format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    let endless = rig.said_to(&format!("GET /{long}")).await;
    assert!(endless.starts_with("HTTP/1.1 4"), "{endless}");
}

/// W4: what is refused costs nothing and leaves room for others again.
#[tokio::test(start_paused = true)]
async fn connections_are_counted() {
    let rig = Rig::new(Limits { http_connections_max: 1, ..Limits::default() });
    let mut first = rig.open(GET).await;
    read_ok(&mut first).await;
    assert_eq!(closes_after(&mut rig.connect(1024)).await, 0);
    assert_eq!(rig.door.setting.metrics.connections(), 1);
    drop(first);
    sleep(Duration::from_millis(1)).await;
    read_ok(&mut rig.open(GET).await).await;
}

/// W6: the viewer leaves, and what was held for it is free.
#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_its_viewer() {
    let rig = Rig::new(Limits::default());
    let io = rig.open("GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_secs(300)).await;
    assert!(rig.door.setting.site.held.load(Ordering::Relaxed), "held as long as its holder wants");
    drop(io);
    sleep(Duration::from_millis(1)).await;
    assert!(!rig.door.setting.site.held.load(Ordering::Relaxed));
}

/// D35: at the stop, resting connections close, answers finish, and the grace ends the rest.
#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_has_begun() {
    let rig = Rig::new(Limits::default());
    let mut resting = rig.open(GET).await;
    read_ok(&mut resting).await;
    let mut fresh = rig.connect(1024);
    let mut big = rig.connect(1024);
    big.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut held = rig.open("GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_millis(1)).await;

    rig.stop.cancel();
    assert_eq!(closes_after(&mut resting).await, 0);
    assert_eq!(closes_after(&mut fresh).await, 0);
    let mut rest = Vec::new();
    big.read_to_end(&mut rest).await.unwrap();
    assert!(BIG_CHUNKS * CHUNK_BYTES < rest.len(), "the whole answer still came");
    assert_eq!(closes_after(&mut held).await, rig.door.setting.limits.drain_grace.as_secs());
    rig.until_all_ended().await;
}

mod h2 {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// HPACK: GET, http, the path, authority `x`, all without the dynamic table.
    fn get(path: &str) -> Vec<u8> {
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend(path.bytes());
        block.extend([0x01, 1, b'x']);
        block
    }

    async fn connect(rig: &Rig, settings: &[u8]) -> DuplexStream {
        let mut io = rig.connect(4 * 1024 * 1024);
        io.write_all(PREFACE).await.unwrap();
        io.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        io
    }

    async fn ask(io: &mut DuplexStream, stream: u32, path: &str) {
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(path));
        io.write_all(&head).await.unwrap();
    }

    struct Heard {
        kind: u8,
        stream: u32,
        payload: Vec<u8>,
    }

    async fn hear(io: &mut DuplexStream) -> Option<Heard> {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        io.read_exact(&mut payload).await.ok()?;
        Some(Heard { kind: head[3], stream, payload })
    }

    /// Listens until a frame of this kind, or the end.
    async fn hear_kind(io: &mut DuplexStream, kind: u8) -> Option<Heard> {
        loop {
            let heard = hear(io).await?;
            if heard.kind == kind {
                return Some(heard);
            }
        }
    }

    /// W10: prior knowledge is understood, and our settings are what we say.
    #[tokio::test(start_paused = true)]
    async fn a_request_without_tls_is_answered() {
        let rig = Rig::new(Limits::default());
        let mut io = connect(&rig, &[]).await;
        let settings = hear_kind(&mut io, SETTINGS).await.unwrap().payload;
        let value = |id: u16| {
            let entry = settings.chunks(6).find(|entry| entry[..2] == id.to_be_bytes())?;
            Some(u32::from_be_bytes(entry[2..].try_into().unwrap()))
        };
        assert_eq!(value(3), Some(100), "streams at once");
        assert_eq!(value(4), Some(64 * 1024), "stream window");
        assert_eq!(value(6), Some(16 * 1024), "header list");
        ask(&mut io, 1, "/").await;
        assert_eq!(hear_kind(&mut io, DATA).await.unwrap().payload, b"ok");
    }

    /// W11: opening and resetting streams again and again ends the connection.
    #[tokio::test(start_paused = true)]
    async fn rapid_resets_end_the_connection() {
        let rig = Rig::new(Limits::default());
        let mut io = connect(&rig, &[]).await;
        let mut flood = Vec::new();
        for n in 0..200 {
            let stream = 2 * n + 1;
            flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/held")));
            flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        io.write_all(&flood).await.unwrap();
        let goaway = hear_kind(&mut io, GOAWAY).await.expect("told before it is closed");
        assert_eq!(goaway.payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
        rig.until_all_ended().await;
        assert!(!rig.door.setting.site.held.load(Ordering::Relaxed));
    }

    /// W12: floods of small frames and endless headers end the connection within their bounds.
    #[tokio::test(start_paused = true)]
    async fn floods_end_the_connection() {
        let half_head = frame(HEADERS, END_STREAM, 1, &get("/"));
        let more = frame(CONTINUATION, 0, 1, &[0x00, 1, b'a', 1, b'b'].repeat(2_000));
        let settings = frame(SETTINGS, 0, 0, &[]);
        for (name, first, flood) in
            [("continuation", half_head, more), ("settings", Vec::new(), settings)]
        {
            let rig = Rig::new(Limits::default());
            let mut io = connect(&rig, &[]).await;
            io.write_all(&first).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(io);
            let writing = async {
                for _ in 0..200_000 {
                    if writer.write_all(&flood).await.is_err() {
                        return;
                    }
                }
            };
            let reading = async {
                let mut sink = vec![0; 4096];
                // The flooder does not read the answers to its settings.
                if name == "continuation" {
                    while matches!(reader.read(&mut sink).await, Ok(count) if 0 < count) {}
                }
            };
            let both = async { tokio::join!(writing, reading) };
            timeout(Duration::from_secs(60), both).await.expect(name);
            rig.until_all_ended().await;
        }
    }

    /// W12, W2: a window that never opens is a reader that takes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_closed_window_is_a_slow_reader() {
        let rig = Rig::new(Limits::default());
        // SETTINGS_INITIAL_WINDOW_SIZE 0.
        let mut io = connect(&rig, &[0, 4, 0, 0, 0, 0]).await;
        ask(&mut io, 1, "/big").await;
        assert_eq!(closes_after(&mut io).await, 10);
    }

    /// W10: a peer that is gone does not answer our ping.
    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_pinged_and_let_go() {
        let rig = Rig::new(Limits::default());
        let mut io = connect(&rig, &[]).await;
        ask(&mut io, 1, "/held").await;
        let start = Instant::now();
        hear_kind(&mut io, PING).await.expect("a ping comes first");
        closes_after(&mut io).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(!rig.door.setting.site.held.load(Ordering::Relaxed));
    }

    /// W6: one stream reset, its hold gone, the connection goes on.
    #[tokio::test(start_paused = true)]
    async fn a_hold_ends_with_its_stream() {
        let rig = Rig::new(Limits::default());
        let mut io = connect(&rig, &[]).await;
        ask(&mut io, 1, "/held").await;
        sleep(Duration::from_secs(1)).await;
        assert!(rig.door.setting.site.held.load(Ordering::Relaxed));
        io.write_all(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(!rig.door.setting.site.held.load(Ordering::Relaxed));
        ask(&mut io, 3, "/").await;
        let data = hear_kind(&mut io, DATA).await.unwrap();
        assert_eq!((data.stream, data.payload), (3, b"ok".to_vec()));
    }
}

mod encrypted {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::TlsConnector;

    use super::super::super::tls::ALPN;
    use super::*;

    fn certificate() -> (Arc<ServerConfig>, RootCertStore) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = ALPN.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        (Arc::new(config), roots)
    }

    fn connector(roots: RootCertStore, protocols: &[&str]) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// W50: ALPN picks the protocol; without it the first bytes do.
    #[tokio::test]
    async fn alpn_picks_the_protocol() {
        let rig = Rig::new(Limits::default());
        let (config, roots) = certificate();
        let tls = Tls::new(config, &rig.door.setting.limits);
        for (protocols, expected) in [
            (&["http/1.1"][..], Some(&b"http/1.1"[..])),
            (&["http/1.1", "h2"], Some(b"h2")),
            (&[], None),
        ] {
            let (ours, theirs) = duplex(64 * 1024);
            rig.door.welcome(theirs, None, Some(tls.clone()), &rig.stop);
            let name = ServerName::try_from("localhost").unwrap();
            let mut io = connector(roots.clone(), protocols).connect(name, ours).await.unwrap();
            assert_eq!(io.get_ref().1.alpn_protocol(), expected);
            if expected == Some(b"h2") {
                continue;
            }
            io.write_all(GET.as_bytes()).await.unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"ok") {
                assert_ne!(io.read_buf(&mut said).await.unwrap(), 0);
            }
        }
    }

    /// W50: a handshake has its time, and there is room for so many at once.
    #[tokio::test(start_paused = true)]
    async fn handshakes_are_bounded() {
        let rig = Rig::new(Limits { tls_handshakes_max: 1, ..Limits::default() });
        let tls = Tls::new(certificate().0, &rig.door.setting.limits);
        let connect = || {
            let (ours, theirs) = duplex(1024);
            rig.door.welcome(theirs, None, Some(tls.clone()), &rig.stop);
            ours
        };
        let mut slow = connect();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(closes_after(&mut connect()).await, 0);
        assert_eq!(closes_after(&mut slow).await, 9, "ten seconds from its beginning");
    }
}
