//! Viewers that stop reading, and viewers that wait for a publisher that has stopped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::until;
use crate::encoder::Encoder;
use crate::neighbours::Neighbours;
use crate::shown::{Shown, wait_for};
use crate::stage::{PATIENCE, Stage};

const MIB: u64 = 1024 * 1024;

/// A connection whose kernel takes little that nobody reads.
fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4 * 1_024).expect("a small buffer");
    socket.connect(&SockAddr::from(addr)).expect("a connection");
    socket.into()
}

fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
}

/// F14 and W2: fifty viewers ask for two megabytes each and read nothing. Each is let go when its
/// time is over and counted as a slow reader, what they asked for is not copied for them, and the
/// streams beside them do not notice.
#[test]
fn viewers_that_stop_reading_are_let_go() {
    const READERS: u64 = 50;
    let stage = Stage::start(&[("send_stall_max", "2s")]);
    let neighbours = Neighbours::start(&stage);
    let one = |shown: &Shown| !shown.segments().is_empty();
    let (shown, _) = wait_for("a segment is there", stage.http, "neighbour0", one);
    let segment = shown.segments().pop().expect("a segment");
    let before = stage.resident_bytes();
    let mut readers: Vec<_> = (0..READERS).map(|_| narrow(stage.http)).collect();
    for reader in &mut readers {
        (0..16).for_each(|_| ask(reader, &segment));
    }
    let took =
        until("all are let go", Duration::from_secs(10), || READERS <= stage.drops("slow_reader"));
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
    eprintln!("F14: let go after {took:?}, {grown} bytes more");
    neighbours.assert_untouched();
    stage.assert_healthy();
}

/// F15, W3 and W6: 5,000 requests wait for media and the publisher stands still. Each is answered
/// with 503 after three target durations, or earlier by media of before, and all of them are freed.
#[test]
fn thousands_who_wait_for_a_stopped_publisher_are_answered() {
    const HELD: usize = 5_000;
    let stage = Stage::start(&[]);
    let neighbours = Neighbours::start_some(&stage, 2);
    let encoder = Encoder::start(&stage.key("stopped"));
    wait_for("it is live", stage.http, "stopped", |s| 1 < s.last_part());
    let mut viewers: Vec<_> =
        (0..HELD).map(|_| TcpStream::connect(stage.http).expect("there is room")).collect();
    encoder.signal("STOP");
    let (shown, _) = wait_for("it is still live", stage.http, "stopped", |_| true);
    let ahead = format!("{}?_HLS_msn={}", shown.path, shown.last_segment() + 2);
    let asked = Instant::now();
    viewers.iter_mut().for_each(|viewer| ask(viewer, &ahead));
    let held = until("all wait", Duration::from_secs(5), || {
        HELD <= usize::try_from(stage.metric("http_held_requests")).expect("a count")
    });
    let resident = stage.resident_bytes();
    for viewer in &mut viewers {
        viewer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut head = [0; 12];
        viewer.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 503");
    }
    let took = asked.elapsed();
    // Targets of two seconds, and a moment for so many answers.
    let bounds = Duration::from_secs(5)..Duration::from_secs(10);
    assert!(bounds.contains(&took), "{took:?}");
    drop(viewers);
    // The neighbours' viewers hold one request each.
    until("all are freed", Duration::from_secs(5), || {
        stage.metric("http_held_requests") <= 2 && stage.metric("http_connections") <= 10
    });
    eprintln!("F15: {HELD} held after {held:?} in {} MiB, answered after {took:?}", resident / MIB);
    neighbours.assert_untouched();
    stage.assert_healthy();
}
