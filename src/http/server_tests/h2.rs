//! What HTTP/2 adds: streams, windows, and the floods that are made of them.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
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

async fn hear(io: &mut (impl AsyncRead + Unpin)) -> Option<Heard> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    io.read_exact(&mut payload).await.ok()?;
    Some(Heard { kind: head[3], stream, payload })
}

/// Listens until a frame of this kind, or the end.
async fn hear_kind(io: &mut (impl AsyncRead + Unpin), kind: u8) -> Option<Heard> {
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
    let window = hear_kind(&mut io, WINDOW_UPDATE).await.unwrap();
    let increment: [u8; 4] = window.payload.try_into().unwrap();
    // RFC 9113, 6.9.2: it begins at 65,535.
    let whole = u32::from_be_bytes(increment) + 65_535;
    assert_eq!((window.stream, whole), (0, 1024 * 1024), "connection window");
    ask(&mut io, 1, "/").await;
    assert_eq!(hear_kind(&mut io, DATA).await.unwrap().payload, b"ok");
}

/// W10: one stream more than the limit is refused; the others go on.
#[tokio::test(start_paused = true)]
async fn streams_are_counted() {
    let rig = Rig::new(Limits { h2_streams_max: 2, ..Limits::default() });
    let mut io = connect(&rig, &[]).await;
    // The limit holds once the peer has acknowledged it.
    hear_kind(&mut io, SETTINGS).await.unwrap();
    io.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
    for stream in [1, 3, 5] {
        ask(&mut io, stream, "/held").await;
    }
    let refused = hear_kind(&mut io, RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.payload), (5, 7_u32.to_be_bytes().to_vec()));
    io.write_all(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await.unwrap();
    ask(&mut io, 7, "/").await;
    assert_eq!(hear_kind(&mut io, DATA).await.unwrap().stream, 7);
}

/// Sends `unit` so many times, then a ping, and reads all the while; whether that ended the
/// connection.
async fn is_ended_by(rig: &Rig, times: u32, unit: impl Fn(u32) -> Vec<u8>) -> bool {
    const LAST: &[u8] = b"the last";
    let (mut reader, mut writer) = tokio::io::split(connect(rig, &[]).await);
    let writing = async {
        for n in 0..times {
            if writer.write_all(&unit(n)).await.is_err() {
                return;
            }
        }
        // Where the connection is over, the reader hears that.
        let _ = writer.write_all(&frame(PING, 0, 0, LAST)).await;
    };
    let reading = async {
        loop {
            match hear(&mut reader).await {
                Some(heard) if heard.kind == PING && heard.payload == LAST => return false,
                Some(heard) if heard.kind == GOAWAY => return true,
                Some(_) => {}
                None => return true,
            }
        }
    };
    let both = async { tokio::join!(writing, reading) };
    timeout(Duration::from_secs(60), both).await.expect("an answer or an end").1
}

/// W10, W12: floods either end their connection or do no harm to it, and never to another one.
/// RFC 9113 bounds none of these itself (10.5).
#[tokio::test(start_paused = true)]
async fn floods_harm_nobody_else() {
    const EVERYTHING: u8 = END_STREAM | END_HEADERS;
    let stream = |n: u32| 2 * n + 1;
    let open = |n, path| frame(HEADERS, EVERYTHING, stream(n), &get(path));
    let too_much = 0x7fff_ffff_u32.to_be_bytes();
    // A stream error that the peer provokes makes us reset the stream ("MadeYouReset").
    let provoke = |n| [open(n, "/held"), frame(WINDOW_UPDATE, 0, stream(n), &too_much)].concat();
    let half_open = |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &get("/held")),
        _ => frame(DATA, 0, 1, &[]),
    };
    let depend = |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 16]);
    let grant = |n| match n {
        0 => open(0, "/held"),
        _ => frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
    };
    let resume = |n| match n {
        0 => frame(HEADERS, END_STREAM, 1, &get("/")),
        _ => frame(CONTINUATION, 0, 1, &[]),
    };
    type Unit<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let floods: [(&str, u32, Unit<'_>, bool); 8] = [
        ("ping", 20_000, &|_| frame(PING, 0, 0, b"01234567"), false),
        ("settings", 20_000, &|_| frame(SETTINGS, 0, 0, &[]), false),
        ("priority", 20_000, &depend, false),
        ("window", 20_000, &grant, false),
        ("empty data", 20_000, &half_open, true),
        ("empty continuation", 20_000, &resume, true),
        ("provoked resets, few", 1_000, &provoke, false),
        ("provoked resets", 1_100, &provoke, true),
    ];
    let rig = Rig::new(Limits::default());
    for (name, times, unit, ends) in floods {
        let mut other = rig.open(GET).await;
        assert_eq!(is_ended_by(&rig, times, unit).await, ends, "{name}");
        read_ok(&mut other).await;
        read_ok(&mut rig.open(GET).await).await;
        drop(other);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(rig.door.setting.metrics.connections(), 0, "{name}");
        assert!(!rig.door.setting.site.held.load(Ordering::Relaxed), "{name}");
    }
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
