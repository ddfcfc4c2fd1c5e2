//! What HTTP/2 adds: streams, windows, and the floods that are made of them.

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
