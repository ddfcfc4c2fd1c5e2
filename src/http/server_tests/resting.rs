//! Connections of HTTP/1.1 that wait, without the library that reads and writes for them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::super::super::watchdog::Protocol;
use super::*;

const SOON: &str = "GET /soon HTTP/1.1\r\nHost: x\r\n\r\n";

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
            Ended::Unreadable(err) => {
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
