//! The server among real sockets: what a crowd may cost, and what it survives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::service::{PATIENCE, Service};

/// A demo that has something to play, and where. The socket comes from here, so that its port is
/// known.
pub(super) fn demo(first: &str) -> (Service, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let args = ["demo", "--http", &addr.to_string()];
    let service = Service::start_after(first, &args, &[], Some(&listener));
    assert_eq!(service.told(), "READY=1");
    service.wait_for_line("broadcast started");
    (service, addr)
}

struct Viewer(BufReader<TcpStream>);

impl Viewer {
    fn connect(addr: SocketAddr) -> Self {
        let io = TcpStream::connect(addr).expect("a connection");
        io.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(BufReader::new(io))
    }

    fn ask(&mut self, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
    }

    /// The status and body of the next answer; `None` when the server has closed.
    fn answer(&mut self) -> Option<(String, String)> {
        let mut line = String::new();
        if self.0.read_line(&mut line).is_ok_and(|length| length == 0) || line.is_empty() {
            return None;
        }
        let status = line.split(' ').nth(1).expect("a status").to_owned();
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("a field");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("digits");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        Some((status, String::from_utf8(body).expect("text")))
    }

    fn get(&mut self, target: &str) -> Option<(String, String)> {
        self.ask(target);
        self.answer()
    }
}

/// The address of the demo's media playlist, and its last whole segment.
fn edge(viewer: &mut Viewer) -> (String, u64) {
    let (_, channels) = viewer.get("/api/v1/channels").expect("an answer");
    let channels: serde_json::Value = serde_json::from_str(&channels).expect("JSON");
    let name =
        channels.pointer("/channels/0/channel").and_then(|name| name.as_str()).expect("a channel");
    let (status, multivariant) =
        viewer.get(&format!("/{name}/index.m3u8")).expect("a multivariant playlist");
    assert_eq!(status, "200", "{multivariant}");
    let playlist = format!("/{name}/{}", multivariant.lines().last().expect("a line"));
    let (_, text) = viewer.get(&playlist).expect("a playlist");
    let mut whole = text.lines().filter_map(|line| line.strip_prefix('s')?.strip_suffix(".m4s"));
    let last = whole.next_back().expect("a segment").parse().expect("digits");
    (playlist, last)
}

/// W7: without descriptors newcomers are turned away, nobody else notices, and it passes.
#[test]
fn running_out_of_descriptors_passes() {
    let (service, addr) = demo("ulimit -n 64");
    let mut early = Viewer::connect(addr);
    let (_, before) = edge(&mut early);
    let crowd: Vec<_> = (0..100).map(|_| Viewer::connect(addr)).collect();
    service.wait_for_line("out of descriptors");
    let (_, after) = edge(&mut early);
    assert!(before <= after, "who is there is served");
    drop(crowd);
    // Whoever came while there was no room is closed without an answer, ten in a second.
    let served = (0..300).find_map(|_| Viewer::connect(addr).get("/healthz"));
    let (served, _) = served.unwrap_or_else(|| panic!("{}", service.log()));
    assert_eq!(served, "200");
    let (playlist, last) = edge(&mut early);
    let (status, _) = early.get(&format!("{playlist}?_HLS_msn={}", last + 1)).expect("an answer");
    assert_eq!(status, "200", "the publisher is still there");
}

/// Requests held at once: with the sockets of all other tests, fewer than the 1,024 descriptors
/// that a process usually gets.
const HELD: usize = 400;

/// Requests that are held now.
fn held_now(operator: &mut Viewer) -> usize {
    let (_, metrics) = operator.get("/metrics").expect("an answer");
    let mut lines = metrics.lines();
    let held = lines.find_map(|line| line.strip_prefix("ghostlight_http_held_requests "));
    held.expect("a gauge").parse().expect("digits")
}

/// Bytes that one held request costs; `None` when the media came before all were held.
fn held_cost() -> Option<usize> {
    let (service, addr) = demo(":");
    let mut operator = Viewer::connect(service.address_of("admin"));
    assert_eq!(held_now(&mut operator), 0);
    let mut first = Viewer::connect(addr);
    edge(&mut first);
    let before = service.resident_bytes();
    let mut viewers: Vec<_> = (0..HELD).map(|_| Viewer::connect(addr)).collect();
    let (playlist, last) = edge(&mut first);
    let held = format!("{playlist}?_HLS_msn={}", last + 2);
    viewers.iter_mut().for_each(|viewer| viewer.ask(&held));
    while held_now(&mut operator) < HELD {
        if last + 2 <= edge(&mut first).1 {
            return None;
        }
    }
    let cost = service.resident_bytes().saturating_sub(before) / HELD;
    if held_now(&mut operator) < HELD {
        return None;
    }
    for viewer in &mut viewers {
        let (status, body) = viewer.answer().expect("an answer");
        assert_eq!(status, "200");
        assert!(body.contains(&format!("s{}.m4s", last + 1)), "{body}");
    }
    Some(cost)
}

/// A held request costs no more than 6 KiB, its connection included.
#[test]
fn a_held_request_is_small() {
    const BYTES_MAX: usize = 6 * 1024;
    // On a slow machine the segment may turn too soon.
    let cost = (0..5).find_map(|_| held_cost()).expect("all are held at once");
    assert!(0 < cost && cost <= BYTES_MAX, "{cost} bytes");
}
