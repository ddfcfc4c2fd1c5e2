//! Connections over a site of few addresses: their limits, their framing, their end.

mod encrypted;
mod h2;
mod resting;

use std::sync::Mutex;
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

/// A site with one address of each kind: `/` at once, `/big` a megabyte, `/soon` after a second, with
/// the status behind it if there is one, `/late` a megabyte after a second, `/held` for ever.
#[derive(Debug, Default)]
struct Stage {
    held: Arc<AtomicBool>,
    /// The paths that were asked for, in their order.
    asked: Mutex<Vec<String>>,
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
        self.asked.lock().unwrap().push(request.uri().path().to_owned());
        match request.uri().path() {
            "/held" => {
                let held = Raised::new(&self.held);
                Answer::Held(Box::pin(async move {
                    std::future::pending::<()>().await;
                    drop(held);
                    Response::new(PartBody::empty())
                }))
            }
            path if path.starts_with("/soon") => {
                let mut response = Response::new(PartBody::one(Bytes::from_static(b"ok")));
                let status = path.trim_start_matches("/soon/").parse();
                *response.status_mut() = status.unwrap_or_default();
                Answer::Held(Box::pin(async {
                    sleep(Duration::from_secs(1)).await;
                    response
                }))
            }
            "/big" => Answer::Now(Box::new(Response::new(big()))),
            "/late" => Answer::Held(Box::pin(async {
                sleep(Duration::from_secs(1)).await;
                Response::new(big())
            })),
            _ => {
                let body = PartBody::one(Bytes::from_static(b"ok"));
                Answer::Now(Box::new(Response::new(body)))
            }
        }
    }
}

fn big() -> PartBody {
    PartBody::list(vec![Bytes::from(vec![7; CHUNK_BYTES]); BIG_CHUNKS].into())
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
        let slots = Slots::new(&limits, Proxies::default());
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

/// W7: what passes when accepting fails is told from what does not.
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

/// W2: what waits in the kernel for a slow reader is bounded. F16: a viewer who vanished without a
/// word acknowledges nothing that it is sent, and is given up after three times the time that a
/// reader may stall.
#[tokio::test]
async fn the_kernel_keeps_little_of_an_answer_and_not_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_ours, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (io, _) = accepted.unwrap();
    let limits = Limits { send_stall_max: Duration::from_secs(7), ..Limits::default() };
    prepare(&io, &limits).unwrap();
    let given_up = SockRef::from(&io).tcp_user_timeout().unwrap();
    assert_eq!(given_up, Some(Duration::from_secs(21)));
    let bytes = SockRef::from(&io).send_buffer_size().unwrap();
    assert!((1..=SEND_BUFFER_BYTES).contains(&bytes), "{bytes}");
    assert!(io.nodelay().unwrap());
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
    let rates = [(0_usize, false), (1_000, false), (2_500, true)];
    let cases = ["/big", "/late"].into_iter().flat_map(|path| rates.map(|rate| (path, rate)));
    for (path, (bytes_each_second, survives)) in cases {
        let rig = Rig::new(Limits::default());
        let mut io = rig.connect(1024);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        let mut buf = vec![0; bytes_each_second.max(1)];
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            if 0 < bytes_each_second && io.read_exact(&mut buf).await.is_err() {
                break;
            }
        }
        let closed = rig.door.setting.tracker.is_empty();
        assert_eq!(!closed, survives, "{bytes_each_second} bytes a second of {path}");
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

/// W13: lines and heads of requests have a length.
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
