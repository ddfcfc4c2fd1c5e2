//! What a peer costs at the limit, beside what the limits add up to: before it has shown a key, as
//! a publisher, and as a viewer. A held request: `viewers.rs`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ghostlight::base::{Limits, SystemClock};
use ghostlight::rtmp::client::{Link, MediaKind, Target};
use ghostlight::testing::clips;

use super::cli::{ghostlight, home, stdout};
use super::service::Service;

const PEERS_FEW: usize = 100;
const PEERS_MANY: usize = 300;

/// A full header of a chunk, with what follows it.
fn chunk(chunk_stream: u8, length: u16, kind: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [&[chunk_stream, 0, 0, 0, 0, high, low, kind, 0, 0, 0, 0], payload].concat()
}

/// As expensive as a peer without a key gets: a handshake, a message on nearly as many chunk
/// streams as there may be, and on two of them, but for the last bytes, all that may be unfinished.
fn expensive_peer(address: SocketAddr) -> TcpStream {
    const HALF: u16 = 8 * 1_024;
    let almost = vec![1; usize::from(HALF) - 1];
    let mut bytes = [&[3][..], &[0; 2 * 1_536]].concat();
    bytes.extend(chunk(2, 4, 1, &u32::from(HALF - 1).to_be_bytes()));
    for id in 3..60 {
        bytes.extend(chunk(id, 1, 99, &[0]));
    }
    for id in [60, 61] {
        bytes.extend(chunk(id, HALF, 20, &almost));
    }
    // A ping, whose answer shows that all before it was read.
    bytes.extend(chunk(2, 6, 4, &[0, 6, 0, 0, 0, 1]));
    let mut stream = TcpStream::connect(address).expect("there is room");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(&bytes).expect("it is read");
    let mut reply = vec![0; 1 + 2 * 1_536 + 6];
    stream.read_exact(&mut reply).expect("a handshake and an answer");
    stream
}

/// R4: at most 64 KiB for each connection that has not shown a key.
#[test]
fn a_peer_without_a_key_costs_little() {
    let env = [
        ("GHOSTLIGHT_LIMITS_RTMP_CONNECTIONS_PER_ADDRESS_MAX", "10000"),
        ("GHOSTLIGHT_LIMITS_RTMP_ACCEPTS_PER_SECOND_MAX", "10000"),
        ("GHOSTLIGHT_LIMITS_CONNECT_TIME_MAX", "10m"),
    ];
    let service = Service::start(&["serve", "--http", "127.0.0.1:0"], &env, None);
    assert_eq!(service.told(), "READY=1");
    let address = service.address_of("rtmp");

    let mut open: Vec<_> = (0..PEERS_FEW).map(|_| expensive_peer(address)).collect();
    let before = service.resident_bytes();
    open.extend((PEERS_FEW..PEERS_MANY).map(|_| expensive_peer(address)));
    let each = (service.resident_bytes() - before) / (PEERS_MANY - PEERS_FEW);
    // Less than what is really held would mean that this measures something else.
    assert!((16 * 1_024..=64 * 1_024).contains(&each), "{each} bytes each");
}

const MIB: usize = 1024 * 1024;

/// Sends so many seconds of 2 MiB each, five pictures and one keyframe a second, as fast as
/// they are taken.
async fn publish(target: Target, seconds: u32) -> Link {
    let clock = Arc::new(SystemClock::new());
    let mut link = Link::open(target, &Limits::default(), clock).await.expect("it may publish");
    link.write(MediaKind::Video, 0, clips::avc_config()).await.expect("taken");
    link.write(MediaKind::Audio, 0, clips::aac_config()).await.expect("taken");
    let [key, other] = [true, false].map(|key| clips::avc_frame(key, 2 * MIB / 5));
    let sound = clips::aac_frame(100);
    let mut sounds = 0;
    for picture in 0..seconds * 5 {
        let body: &Bytes = if picture.is_multiple_of(5) { &key } else { &other };
        link.write(MediaKind::Video, picture * 200, body.clone()).await.expect("taken");
        while sounds * 1_024 / 48 < (picture + 1) * 200 {
            link.write(MediaKind::Audio, sounds * 1_024 / 48, sound.clone()).await.expect("taken");
            sounds += 1;
        }
    }
    link
}

/// A publisher whose window is full holds no more than the limits of one add up to, nor less
/// than the window alone.
#[tokio::test]
async fn a_publisher_at_its_limit_costs_what_the_limits_say() {
    let limits = Limits {
        window_bytes_max: 32 * MIB,
        ring_bytes_max: 4 * MIB,
        gop_bytes_max: 4 * MIB,
        frame_bytes_max: MIB,
        message_bytes_max: 2 * MIB,
        partial_bytes_max: 2 * MIB,
        ..Limits::default()
    };
    let env = [
        ("GHOSTLIGHT_LIMITS_WINDOW_BYTES_MAX", "32MiB"),
        ("GHOSTLIGHT_LIMITS_RING_BYTES_MAX", "4MiB"),
        ("GHOSTLIGHT_LIMITS_GOP_BYTES_MAX", "4MiB"),
        ("GHOSTLIGHT_LIMITS_FRAME_BYTES_MAX", "1MiB"),
        ("GHOSTLIGHT_LIMITS_MESSAGE_BYTES_MAX", "2MiB"),
        ("GHOSTLIGHT_LIMITS_PARTIAL_BYTES_MAX", "2MiB"),
        // Ten times as fast as it plays.
        ("GHOSTLIGHT_LIMITS_INGEST_SPEED_MAX", "10"),
        ("GHOSTLIGHT_LIMITS_INGEST_BURST", "500ms"),
        ("GHOSTLIGHT_LIMITS_INGEST_BYTES_PER_SECOND_MAX", "1GiB"),
        ("GHOSTLIGHT_HLS_SEGMENT", "1s"),
        ("GHOSTLIGHT_HLS_WINDOW", "60s"),
    ];
    let home = home();
    let data = home.path().display().to_string();
    let key = stdout(&ghostlight(home.path(), &["key", "add", "studio", "--data", &data], &[]));
    let args = ["serve", "--http", "127.0.0.1:0", "--data", &data];
    let service = Service::start(&args, &env, None);
    assert_eq!(service.told(), "READY=1");
    let address = format!("rtmp://{}/live/{}", service.address_of("rtmp"), key.trim());
    let before = service.resident_bytes();
    let link = publish(Target::parse(&address).expect("an address"), 40).await;
    let window = || service.metric("ghostlight_live_window_bytes");
    for _ in 0..200 {
        if window() > limits.window_bytes_max - 3 * MIB {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (window, held) = (window(), service.resident_bytes() - before);
    let (least, most) = (limits.window_bytes_max, limits.publisher_bytes_max());
    assert!((least - 3 * MIB..=least).contains(&window), "{window}: {}", service.log());
    assert!((window..=most).contains(&held), "{held} bytes, {most} allowed");
    link.finish().await.expect("a goodbye");
}

/// A viewer whose request is nearly as long as it may be, and never ends.
#[test]
fn a_viewer_at_its_limit_costs_what_the_limits_say() {
    // Long heads, which stand out from what else moves in a process.
    let limits = Limits { request_head_bytes_max: 48 * 1_024, ..Limits::default() };
    let env = [
        ("GHOSTLIGHT_LIMITS_REQUEST_HEAD_BYTES_MAX", "48KiB"),
        ("GHOSTLIGHT_LIMITS_REQUEST_HEAD_TIME_MAX", "10m"),
    ];
    let service = Service::start(&["serve", "--http", "127.0.0.1:0"], &env, None);
    assert_eq!(service.told(), "READY=1");
    let address = service.address_of("http");
    let field = format!("X-Long: {}", "x".repeat(limits.request_head_bytes_max - 1_000));
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{field}");
    let viewer = || {
        let mut stream = TcpStream::connect(address).expect("there is room");
        stream.write_all(request.as_bytes()).expect("it is read");
        stream
    };
    let mut open: Vec<_> = (0..PEERS_FEW).map(|_| viewer()).collect();
    service.metric("ghostlight_http_held_requests");
    let before = service.resident_bytes();
    open.extend((PEERS_FEW..PEERS_MANY).map(|_| viewer()));
    let (least, most) = (limits.request_head_bytes_max / 2, limits.request_bytes_max());
    let each = || service.resident_bytes().saturating_sub(before) / (PEERS_MANY - PEERS_FEW);
    // On a busy machine they are not read at once.
    for _ in 0..200 {
        if least <= each() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let each = each();
    assert!((least..=most).contains(&each), "{each} bytes each, {most} allowed");
}
