//! Viewers in crowds: who wait, who read slowly, who are gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ghostlight::testing::clips;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frames::{DATA, END_STREAM, HEADERS, Line, ask};
use super::wire::{AUDIO, Peer, VIDEO, dial};
use super::{Crowd, KIB, MIB, Street, address, wide};
use crate::http::{Http, read_answer};
use crate::neighbours::find_playlist;
use crate::stage::PATIENCE;

/// The street's own viewers wait as well.
const NEIGHBOURS_HOLDS: u64 = 5;
/// On a slow machine a segment may turn too soon.
const ROUNDS: u32 = 5;

/// The edge of a stream whose segment has just begun: whoever waits for the one after it now waits
/// for almost two.
async fn turned(street: &Street) -> (String, u64) {
    let (_, before) = street.edge().await;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (path, msn) = street.edge().await;
        if before < msn {
            return (path, msn);
        }
    }
}

/// When the last byte of each answer had come, and how many there were that were no part of a
/// playlist.
async fn take_answers(mut line: Line, answers: usize) -> Vec<Instant> {
    let mut ended = Vec::new();
    while ended.len() < answers {
        let heard = line.hear().await.expect("an answer");
        assert!(heard.kind != HEADERS || heard.payload.first() == Some(&0x88), "status 200");
        if heard.kind == DATA && heard.flags & END_STREAM != 0 {
            ended.push(Instant::now());
        }
    }
    ended
}

/// W3, W4, W5, F15: twenty thousand requests wait for one segment, each for no more than 8 KiB,
/// and all are answered when it comes.
#[test]
fn twenty_thousand_wait_for_one_segment() {
    const LINES: usize = 200;
    const EACH: u32 = 100;
    const TOGETHER: usize = 20_000;
    /// Half a second of work for two processors; a part in the midst of it waits for its turn.
    const ANSWERED_MAX: Duration = Duration::from_secs(4);
    let mut street = Street::open(&[("blocked_requests_per_broadcast_max", "50000")]);
    let http = street.stage.http;
    let before = street.stage.resident_bytes();
    let waited = (0..ROUNDS).find_map(|_| {
        street.under(async {
            let mut lines = Vec::new();
            for number in 0..LINES {
                lines.push(Line::open(http, address(number)).await.expect("room"));
            }
            let (path, msn) = turned(&street).await;
            let question = format!("{path}?_HLS_msn={}", msn + 1);
            let questions: Vec<_> = (0..EACH).map(|n| ask(n, &question)).collect();
            for line in &mut lines {
                line.send(&questions.concat()).await.expect("it is read");
            }
            let held = || street.stage.metric("http_held_requests");
            // On a slow machine the segment comes before all have asked.
            while held() < wide(TOGETHER) {
                if street.edge().await.1 > msn + 1 {
                    eprintln!("only {} of {TOGETHER} wait when the segment comes", held());
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let cost = street.stage.resident_bytes().saturating_sub(before) / wide(TOGETHER);
            let (mut waiting, cpu) = (JoinSet::new(), street.stage.cpu());
            for line in lines {
                waiting.spawn(take_answers(line, usize::try_from(EACH).expect("small")));
            }
            let mut times: Vec<_> = waiting.join_all().await.into_iter().flatten().collect();
            times.sort_unstable();
            Some((cost, times, street.stage.cpu() - cpu))
        })
    });
    let (cost, times, cpu) = waited.expect("all wait at once");
    let after = |at: usize| *times.get(at).expect("answers") - *times.first().expect("answers");
    let (p50, p99) = (after(TOGETHER / 2), after(TOGETHER * 99 / 100));
    eprintln!(
        "{TOGETHER} held: {cost} bytes each; p50 {p50:?}, p99 {p99:?}, {cpu:?} of a processor"
    );
    assert_eq!(times.len(), TOGETHER);
    assert!(0 < cost && cost <= 8 * KIB, "{cost} bytes each");
    assert!(p99 < ANSWERED_MAX, "{p99:?}");
    street
        .stage
        .wait_until("all are free", |stage| stage.metric("http_held_requests") <= NEIGHBOURS_HOLDS);
    street.close_within(Crowd { viewers: 200 * 2, held: 20_000, ..Crowd::default() }, ANSWERED_MAX);
}

/// W4, W6: an address may let so many requests wait, and one more is told to try again; viewers
/// that vanish leave nothing behind for longer than a second.
#[test]
fn vanished_viewers_leave_no_request_behind() {
    const VIEWERS: usize = 1_000;
    const MORE: usize = 10;
    const GONE: Duration = Duration::from_secs(1);
    let limit = VIEWERS.to_string();
    let mut street = Street::open(&[("blocked_requests_per_address_max", &limit)]);
    let http = street.stage.http;
    let vanished = (0..ROUNDS).find_map(|_| {
        street.under(async {
            let (path, msn) = turned(&street).await;
            let question = format!("GET {path}?_HLS_msn={} HTTP/1.1\r\nHost: x\r\n\r\n", msn + 1);
            let mut viewers = Vec::new();
            for _ in 0..VIEWERS {
                let mut io = dial(http, address(0)).await.expect("room");
                io.write_all(question.as_bytes()).await.expect("it is read");
                viewers.push(io);
            }
            while street.stage.metric("http_held_requests") < wide(VIEWERS) {
                // On a slow machine the segment comes before all have asked.
                if msn + 1 < street.edge().await.1 {
                    return None;
                }
            }
            for _ in 0..MORE {
                let mut io = dial(http, address(0)).await.expect("room");
                io.write_all(question.as_bytes()).await.expect("it is read");
                let answer = timeout(PATIENCE, read_answer(&mut io, &mut BytesMut::new())).await;
                let answer = answer.expect("in time").expect("an answer");
                if answer.status == 200 && msn + 1 < street.edge().await.1 {
                    return None;
                }
                assert_eq!(answer.status, 503, "{answer:?}");
                assert!(answer.head.contains("\r\nretry-after: 1"), "{answer:?}");
            }
            let gone = Instant::now();
            drop(viewers);
            while NEIGHBOURS_HOLDS < street.stage.metric("http_held_requests") {
                assert!(gone.elapsed() < GONE, "{}", street.stage.metric("http_held_requests"));
            }
            (street.edge().await.1 <= msn + 1).then_some(())
        })
    });
    vanished.expect("they vanish before the segment comes");
    street.stage.wait_until("their connections are closed", |stage| {
        stage.metric("http_connections") <= 2 * NEIGHBOURS_HOLDS
    });
    street.close(Crowd { viewers: 1_000, held: 1_000, ..Crowd::default() });
}

/// A connection that takes little at once into its own buffers.
async fn narrow(to: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1_024).expect("an option");
    socket.bind((address(number), 0).into()).expect("an address");
    socket.connect(to).await.expect("room")
}

/// A broadcast with a whole segment of some megabytes, which its publisher leaves behind.
async fn heavy_segment(street: &Street) -> String {
    const FRAME_MILLIS: u32 = 40;
    let target = street.stage.key("heavy");
    let peer = Peer::publish(street.stage.rtmp, address(0), target.key.reveal()).await;
    let mut peer = peer.expect("an answer");
    for (kind, body) in [(VIDEO, clips::avc_config()), (AUDIO, clips::aac_config())] {
        peer.message(kind, 0, &body).await.expect("it is read");
    }
    for frame in 0..130 {
        let at = frame * FRAME_MILLIS;
        let body = clips::avc_frame(frame.is_multiple_of(50), 100_000);
        peer.message(VIDEO, at, &body).await.expect("it is read");
        peer.message(AUDIO, at, &clips::aac_frame(100)).await.expect("it is read");
    }
    let mut http = Http::new(street.stage.http);
    let playlist = find_playlist(&mut http, "heavy").await.expect("it is on air");
    let folder = playlist.rsplit_once('/').expect("a path").0.to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = http.get(&playlist).await.expect("an answer").text();
        let mut segments = text.lines().filter(|l| l.starts_with('s') && l.ends_with(".m4s"));
        if let Some(name) = segments.next_back() {
            return format!("{folder}/{name}");
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// W2: two thousand viewers that read a kilobyte a second of a large segment share one copy of it,
/// and are let go once they have taken too little for too long.
#[test]
fn slow_readers_share_what_they_read() {
    const VIEWERS: usize = 2_000;
    /// All come within some seconds; each takes a quarter of a megabyte at once, into the kernel.
    const BETWEEN: Duration = Duration::from_millis(1);
    let mut street = Street::open(&[("send_stall_max", "3s")]);
    let http = street.stage.http;
    let before = street.under(async {
        let segment = heavy_segment(&street).await;
        let before = street.stage.resident_bytes();
        let question = format!("GET {segment} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut viewers = JoinSet::new();
        for number in 0..VIEWERS {
            let question = question.clone();
            viewers.spawn(async move {
                let mut io = narrow(http, number).await;
                io.write_all(question.as_bytes()).await.expect("it is read");
                let mut piece = [0; 1_024];
                while io.read_exact(&mut piece).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            tokio::time::sleep(BETWEEN).await;
        }
        // What the kernel holds can be read long after the server has closed.
        let start = Instant::now();
        while street.stage.drops("slow_reader") < wide(VIEWERS) {
            let drops = street.stage.drops("slow_reader");
            assert!(start.elapsed() < PATIENCE, "{drops}: they may read as slowly as they like");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        before
    });
    street.assert_dropped("slow_reader", VIEWERS);
    let more = street.stage.peak_bytes().saturating_sub(before);
    eprintln!("{VIEWERS} slow readers cost {} KiB each", more / KIB / wide(VIEWERS));
    assert!(more < 512 * MIB, "{more}");
    street.close(Crowd {
        viewers: 2_000,
        publishers: 1,
        media_bytes: 20 * MIB,
        ..Crowd::default()
    });
}
