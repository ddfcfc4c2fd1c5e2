//! Connections of HTTP/1.1 that wait, without the library that reads and writes for them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::super::super::watchdog::Protocol;
use super::*;

const SOON: &str = "GET /soon HTTP/1.1\r\nHost: x\r\n\r\n";
const LATE: &str = "GET /late HTTP/1.1\r\nHost: x\r\n\r\n";
const BIG_BYTES: usize = BIG_CHUNKS * CHUNK_BYTES;

/// The head and body of the next answer, which ends with `ok`.
async fn hear(io: &mut DuplexStream) -> String {
    let mut said = Vec::new();
    while !said.ends_with(b"ok") {
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0, "closed too early");
    }
    String::from_utf8(said).unwrap()
}

/// Requests sent at once are answered one after the other, whether they are held or not.
#[tokio::test(start_paused = true)]
async fn what_lies_behind_a_held_request_is_not_lost() {
    let rig = Rig::new(Limits::default());
    let start = Instant::now();
    let mut io = rig.open(&[SOON, SOON, GET, SOON].concat()).await;
    for _ in 0..2 {
        assert!(hear(&mut io).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    // The second answer to a request that is held, and the one behind it, may come together.
    let mut said = Vec::new();
    while !said.ends_with(b"ok") || start.elapsed() < Duration::from_secs(3) {
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0);
    }
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(closes_after(&mut io).await, 75, "and then it rests");
}

/// A request in two pieces, the second of which comes while another one is held.
#[tokio::test(start_paused = true)]
async fn a_head_may_begin_while_a_request_is_held() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.open(&[SOON, "GET /so"].concat()).await;
    hear(&mut io).await;
    sleep(Duration::from_secs(9)).await;
    io.write_all(b"on HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    hear(&mut io).await;

    // W1: such a head has as much time as any other, from the answer on.
    let mut io = rig.open(&[SOON, "GET /so"].concat()).await;
    hear(&mut io).await;
    assert_eq!(closes_after(&mut io).await, 10);
}

/// Whoever sends a hundred small requests at once has sixteen answered, as many as the library
/// answers in one go; then others have their turn.
#[tokio::test(start_paused = true)]
async fn many_small_requests_take_turns_with_others() {
    let rig = Rig::new(Limits::default());
    let mut greedy = rig.open(&"GET /g HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)).await;
    let mut modest = rig.open("GET /m HTTP/1.1\r\nHost: x\r\n\r\n").await;
    read_ok(&mut modest).await;
    let mut said = Vec::new();
    while said.windows(2).filter(|two| two == b"ok").count() < 100 {
        assert_ne!(greedy.read_buf(&mut said).await.unwrap(), 0, "closed too early");
    }
    let asked = rig.door.setting.site.asked.lock().unwrap();
    let before = asked.iter().position(|path| path == "/m").unwrap();
    assert!(before <= 16, "{before} before it");
    assert_eq!(asked.len(), 101);
}

/// A connection that breaks while it rests is told from one that its peer closes.
#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_no_goodbye() {
    let rig = Rig::new(Limits::default());
    for breaks in [true, false] {
        let (mut ours, theirs) = duplex(64 * 1024);
        let pulse = Arc::new(Pulse::default());
        let io = Breaking { io: theirs, breaks };
        let (id, protocol) = (ConnId(1), Some(Protocol::Http1));
        let line = Line { io, id, peer: None, protocol, tls: false, pulse };
        let asking = async {
            ours.write_all(GET.as_bytes()).await.unwrap();
            read_ok(&mut ours).await;
            drop(ours);
        };
        let (ended, ()) = tokio::join!(conn::serve(line, &rig.door.setting, &rig.stop), asking);
        match ended {
            Ended::Lost(err) => {
                assert!(breaks && err.kind() == io::ErrorKind::ConnectionReset, "{err}");
            }
            Ended::Done => assert!(!breaks, "taken for a goodbye"),
            other @ (Ended::Cut(_) | Ended::Broken(_) | Ended::NotEncrypted(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

/// A pipe whose end, if so wanted, is a reset.
struct Breaking {
    io: DuplexStream,
    breaks: bool,
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let ended = buf.filled().len() == before;
        if ended && self.breaks {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// W2: of what somebody sends who does not wait for answers, little is taken.
#[tokio::test(start_paused = true)]
async fn little_is_read_ahead() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.connect(1024);
    io.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut sent = 0;
    while let Ok(wrote) = timeout(Duration::from_secs(1), io.write(&[b'x'; 256])).await {
        sent += wrote.unwrap();
    }
    assert!(sent <= 2 * 1024, "{sent}");
}

/// The answer is the one that the request asked for, although the library has forgotten it.
#[tokio::test(start_paused = true)]
async fn a_held_answer_is_framed_as_its_request_asks() {
    let rig = Rig::new(Limits::default());
    let plain = hear(&mut rig.open(SOON).await).await;
    assert!(plain.contains("content-length: 2\r\n") && !plain.contains("connection:"), "{plain}");
    for (head, expected) in [
        ("HEAD /soon HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("GET /soon HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "connection: close\r\n"),
        ("GET /soon HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n"),
    ] {
        let said = rig.said_to(head).await;
        assert!(said.contains(expected), "{head}: {said}");
        assert_eq!(said.ends_with("\r\n\r\nok"), !head.starts_with("HEAD"), "{head}: {said}");
    }
}

/// Whatever its status, it is to the byte what the library writes where it may not forget the
/// request, as with a connection option that nobody knows.
#[tokio::test(start_paused = true)]
async fn a_held_answer_is_what_the_library_would_write() {
    let rig = Rig::new(Limits::default());
    for status in [200, 204, 206, 304, 404, 410, 416, 503] {
        let head = format!("GET /soon/{status} HTTP/1.1\r\nHost: x\r\n");
        let mut plain = rig.open(&format!("{head}\r\n")).await;
        let mut kept = rig.open(&format!("{head}Connection: unknown\r\n\r\n")).await;
        sleep(Duration::from_secs(2)).await;
        let mut said = [String::new(), String::new()];
        for (io, said) in [&mut plain, &mut kept].into_iter().zip(&mut said) {
            let mut bytes = Vec::with_capacity(4 * 1024);
            io.read_buf(&mut bytes).await.unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let (before, date) = text.split_once("\r\ndate: ").expect("a date");
            let (date, after) = date.split_once(" GMT").expect("a date in Greenwich");
            assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37".len(), "{text}");
            *said = format!("{before}{after}");
        }
        let [plain, kept] = said;
        assert!(plain.starts_with(&format!("HTTP/1.1 {status} ")), "{plain}");
        assert_eq!(plain, kept);
    }
}

/// D35: what is held when the server stops is answered, and is the last.
#[tokio::test(start_paused = true)]
async fn a_held_request_is_answered_after_the_stop() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.open(&[SOON, GET].concat()).await;
    sleep(Duration::from_millis(1)).await;
    rig.stop.cancel();
    let mut said = Vec::new();
    io.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("connection: close\r\n"), "{said}");
    assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    rig.until_all_ended().await;
}

/// A held answer that the peer takes bit by bit is whole, counted, and followed by the next one.
#[tokio::test(start_paused = true)]
async fn a_held_answer_waits_for_its_reader() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.connect(1024);
    io.write_all([LATE, GET].concat().as_bytes()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.door.setting.site.asked.lock().unwrap().len(), 1, "one after the other");
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\nok") {
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0, "closed too early");
    }
    let body = said.iter().position(|&byte| byte == 7).unwrap();
    let (head, rest) = (&said[..body], &said[body + BIG_BYTES..]);
    let length = format!("content-length: {BIG_BYTES}\r\n");
    assert!(String::from_utf8_lossy(head).contains(&length), "{head:?}");
    assert!(said[body..body + BIG_BYTES].iter().all(|&byte| byte == 7));
    assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n"), "{rest:?}");
    assert_eq!(rig.door.setting.metrics.body_bytes(), u64::try_from(BIG_BYTES + 2).unwrap());
    assert_eq!(closes_after(&mut io).await, 75, "and then it rests");
}

/// D35: a held answer that is on its way when the server stops still comes whole, and is the last.
#[tokio::test(start_paused = true)]
async fn a_held_answer_on_its_way_is_finished_after_the_stop() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.connect(1024);
    io.write_all([LATE, GET].concat().as_bytes()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    rig.stop.cancel();
    sleep(Duration::from_secs(2)).await;
    let mut said = Vec::new();
    io.read_to_end(&mut said).await.unwrap();
    let body = said.iter().position(|&byte| byte == 7).unwrap();
    assert_eq!(said.len(), body + BIG_BYTES, "nothing after it");
    rig.until_all_ended().await;
}

/// A viewer who leaves in the middle of a held answer leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_viewer_may_leave_a_held_answer() {
    let rig = Rig::new(Limits::default());
    let mut io = rig.connect(1024);
    io.write_all(LATE.as_bytes()).await.unwrap();
    io.read_exact(&mut [0; 2000]).await.unwrap();
    drop(io);
    sleep(Duration::from_millis(1)).await;
    assert!(rig.door.setting.tracker.is_empty());
    assert_eq!(rig.door.setting.metrics.connections(), 0);
}
