//! What a peer costs before it has shown a key.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

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
