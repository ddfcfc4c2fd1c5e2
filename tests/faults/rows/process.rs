//! The server itself is killed, stopped and asked to leave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ghostlight::testing::dice::Dice;

use super::{rounds, seed, until};
use crate::encoder::{Crowd, Encoder};
use crate::shown::{Shown, wait_for};
use crate::stage::{Setup, Stage, get};

/// F1 and D36: killed while live and started again, the server knows its keys, gives the new
/// broadcast another address and higher numbers, and viewers play within five seconds of it being
/// back. What the old address said is not said again.
#[test]
fn a_killed_server_plays_on_within_five_seconds() {
    let mut dice = Dice::new(seed());
    let mut stage = Stage::start(&[]);
    let target = stage.key("killed");
    let mut encoder = Encoder::start(&target);
    let (mut before, _) = wait_for("it is live", stage.http, "killed", |s| 0 < s.last_part());
    for _ in 0..rounds() {
        sleep(Duration::from_millis(500 + dice.below(2_000)));
        before = Shown::read(stage.http, &before.path).unwrap_or(before);
        stage.kill();
        drop(encoder);
        stage.restart();
        let back = Instant::now();
        encoder = Encoder::start(&target);
        let playing = |shown: &Shown| 1 < shown.last_part();
        let (after, _) = wait_for("it plays again", stage.http, "killed", playing);
        let took = back.elapsed();
        assert!(took <= Duration::from_secs(5), "{took:?}");
        assert_ne!(before.path, after.path);
        let (was, is) = (before.media_sequence(), after.media_sequence());
        assert!(before.last_segment() < is, "{was} and on became {is}");
        let (status, _) = get(stage.http, &before.path).expect("an answer");
        assert!([404, 410].contains(&status), "the old address answers {status}");
        before = after;
    }
    stage.assert_healthy();
}

/// F5 and D18: a server that stood still for longer than any publisher may be silent drops nobody
/// when it goes on: what waited in the sockets is read, and held requests end. Twelve seconds
/// instead of thirty, since ten are what a silent publisher has; ten minutes are jumped in
/// `src/rtmp/conn_rules_tests.rs`.
#[test]
fn a_server_that_stood_still_drops_nobody() {
    let mut stage = Stage::start(&[]);
    let encoders: Vec<_> = (0..3)
        .map(|number| {
            let channel = format!("still{number}");
            let encoder = Encoder::start(&stage.key(&channel));
            (channel, encoder)
        })
        .collect();
    let live = |stage: &Stage| {
        let shown = encoders.iter().map(|(channel, _)| Shown::find(stage.http, channel));
        shown.collect::<Option<Vec<_>>>()
    };
    stage.wait_until("all are live", |stage| live(stage).is_some());
    let before = live(&stage).expect("all are live");
    let shown = before.first().expect("three");
    let mut viewer = TcpStream::connect(stage.http).expect("a connection");
    viewer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let ahead = format!("{}?_HLS_msn={}", shown.path, shown.last_segment() + 2);
    let request = format!("GET {ahead} HTTP/1.1\r\nHost: x\r\n\r\n");
    viewer.write_all(request.as_bytes()).expect("sent");
    stage.wait_until("it is held", |stage| 1 <= stage.metric("http_held_requests"));
    stage.signal("STOP");
    sleep(Duration::from_secs(12));
    stage.signal("CONT");
    let woke = Instant::now();
    let mut head = [0; 12];
    viewer.read_exact(&mut head).expect("whoever was held is answered at once");
    assert!([&b"HTTP/1.1 200"[..], b"HTTP/1.1 503"].contains(&&head[..]), "{head:?}");
    let later = |stage: &Stage| {
        before.iter().all(|before| {
            let now = Shown::read(stage.http, &before.path).expect("the same broadcast");
            // Twelve seconds of media and one more second: 48 parts and 4.
            before.last_part() + 52 <= now.last_part()
        })
    };
    until("all that was sent meanwhile is shown", Duration::from_secs(5), || later(&stage));
    eprintln!("F5: caught up {:?} after it went on", woke.elapsed());
    for shown in live(&stage).expect("all are live") {
        // Every playlist begins with a segment of missing media, and here with no other.
        let found = ["GAP", "#EXT-X-DISCONTINUITY\n"].map(|tag| shown.text.matches(tag).count());
        assert!(found == [1, 0] || found == [0, 0], "{}", shown.text);
    }
    assert_eq!(stage.metric("rtmp_connections_ended_total"), 0);
    let cpu = stage.cpu();
    sleep(Duration::from_secs(1));
    let cpu = stage.cpu() - cpu;
    assert!(cpu < Duration::from_millis(700), "{cpu:?} of processor time in a second: a storm");
    stage.assert_healthy();
}

/// F33 and D35: asked to stop with 50 live, the server tells every encoder, ends every playlist and
/// leaves in good order within its grace.
#[test]
fn fifty_live_are_drained() {
    const LIVE: usize = 50;
    let mut stage = Setup::default()
        .limit("rtmp_connections_per_address_max", "100")
        .limit("drain_grace", "8s")
        .start();
    let crowd = Crowd::start(stage.keys("drained", LIVE), None);
    crowd.wait_for(LIVE);
    let shown: Vec<_> = (0..LIVE)
        .map(|n| wait_for("it plays", stage.http, &format!("drained{n}"), |s| 0 < s.last_part()).0)
        .collect();
    let begun = Instant::now();
    stage.signal("TERM");
    let mut open: Vec<_> = shown.iter().map(|shown| shown.path.as_str()).collect();
    until("every playlist has its end", Duration::from_secs(8), || {
        open.retain(|path| !Shown::read(stage.http, path).is_some_and(|now| now.has_ended()));
        open.is_empty()
    });
    let ended = begun.elapsed();
    let status = stage.wait();
    eprintln!("F33: 50 playlists ended after {ended:?}, the process after {:?}", begun.elapsed());
    assert!(status.success() && begun.elapsed() <= Duration::from_secs(9), "{status}");
    assert!(stage.log().contains("stopped live=50"), "{}", stage.log());
    let ends = crowd.ends();
    let told: usize = ends.iter().filter(|(end, _)| end.contains("stop")).map(|(_, n)| n).sum();
    assert_eq!(told, LIVE, "{ends:#?}");
}
