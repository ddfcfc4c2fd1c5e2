//! Floods made of HTTP/2's small frames.

use std::time::{Duration, Instant};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Line, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_MAX, WINDOW_UPDATE, ask, frame, get, stream,
};
use super::{Crowd, Street, address};

/// Error codes (RFC 9113, section 7).
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

/// F35, W11: a hundred thousand requests that are taken back at once, in ten seconds. Each connection
/// gets as far as the limit of such streams and hears GOAWAY; so it takes thousands of them, and
/// all together cost less than a processor and delay no part.
#[test]
fn rapid_resets_delay_nobody() {
    const RESETS: u32 = 100_000;
    const TIME: Duration = Duration::from_secs(10);
    /// More than the server lets pass before it ends the connection.
    const BATCH: u32 = 200;
    let street = Street::open(&[]);
    let path = street.under(street.edge()).0;
    let pieces: Vec<Vec<u8>> = (0..BATCH)
        .map(|n| [ask(n, &path), frame(RST_STREAM, 0, stream(n), &CANCEL)].concat())
        .collect();
    let batch = pieces.concat();
    street.assert_unmoved("rapid resets", || {
        let start = Instant::now();
        let (mut sent, mut connections, mut goodbyes) = (0, 0_usize, 0_usize);
        street.under(async {
            while sent < RESETS {
                // At the pace of the rule, whatever this machine can do.
                let due = TIME.mul_f64(f64::from(sent) / f64::from(RESETS));
                tokio::time::sleep_until((start + due).into()).await;
                let mut line =
                    Line::open(street.stage.http, address(connections)).await.expect("room");
                let mut pieces = [batch.clone()].into_iter();
                let flood = line.flood(|| pieces.next()).await;
                // What was sent and not yet answered is answered by the end.
                let goodbye = flood.goodbye || line.flood(|| Some(ping())).await.goodbye;
                goodbyes += usize::from(goodbye);
                (sent, connections) = (sent + BATCH, connections + 1);
            }
        });
        eprintln!("{sent} resets on {connections} connections in {:?}", start.elapsed());
        assert_eq!(goodbyes, connections, "each was told");
    });
    street.close(Crowd { viewers: 10, ..Crowd::default() });
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"01234567")
}

/// One flood: its name, the frames of its step `n`, and whether it ends the connection.
type Steps = Box<dyn Fn(u32) -> Vec<u8>>;

fn floods(held: String) -> Vec<(&'static str, Steps, bool)> {
    const EVERYTHING: u8 = END_STREAM | END_HEADERS;
    let request = get(&held);
    let open = move |n| frame(HEADERS, EVERYTHING, stream(n), &request);
    let (half, half_head, grant) = (get(&held), get(&held), open.clone());
    let field = [0x00, 1, b'a', 1, b'b'].repeat(2_000);
    vec![
        ("PING", Box::new(|_| ping()), false),
        ("SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[])), false),
        ("PRIORITY", Box::new(|n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 16])), false),
        (
            "WINDOW_UPDATE",
            Box::new(move |n| match n {
                0 => grant(0),
                _ => frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
            }),
            false,
        ),
        (
            "empty DATA",
            Box::new(move |n| match n {
                0 => frame(HEADERS, END_HEADERS, 1, &half),
                _ => frame(DATA, 0, 1, &[]),
            }),
            true,
        ),
        (
            "endless CONTINUATION",
            Box::new(move |n| match n {
                0 => frame(HEADERS, END_STREAM, 1, &half_head),
                _ => frame(CONTINUATION, 0, 1, &field),
            }),
            true,
        ),
        (
            // A stream error that the peer provokes makes us reset the stream ("MadeYouReset").
            "provoked resets",
            Box::new(move |n| {
                let too_much = WINDOW_MAX.to_be_bytes();
                [open(n), frame(WINDOW_UPDATE, 0, stream(n), &too_much)].concat()
            }),
            true,
        ),
    ]
}

/// F35, W12: floods of frames that cost their sender nothing either end their connection or cost less
/// than a processor, and delay no part.
#[test]
fn floods_of_frames_delay_nobody() {
    const TIME: Duration = Duration::from_secs(2);
    /// Steps handed over at once.
    const STEPS: u32 = 500;
    let street = Street::open(&[]);
    let (path, msn) = street.under(street.edge());
    for (name, steps, ends) in floods(format!("{path}?_HLS_msn={}", msn + 1)) {
        street.assert_unmoved(name, || {
            let flood = street.under(async {
                let mut line = Line::open(street.stage.http, address(0)).await.expect("room");
                let (mut n, start) = (0, Instant::now());
                line.flood(|| {
                    let more: Vec<Vec<u8>> = (n..n + STEPS).map(&steps).collect();
                    n += STEPS;
                    (start.elapsed() < TIME).then(|| more.concat())
                })
                .await
            });
            assert_eq!(flood.ended, ends, "{name}");
        });
    }
    street.close(Crowd { viewers: 1, ..Crowd::default() });
}

/// W12, W2: two hundred connections whose windows never open take nothing, and are let go as
/// readers that take nothing.
#[test]
fn windows_that_never_open_end_their_connections() {
    const VIEWERS: usize = 200;
    let mut street = Street::open(&[("send_stall_max", "3s")]);
    let path = street.under(street.edge()).0;
    street.under(async {
        let mut lines = Vec::new();
        for number in 0..VIEWERS {
            let line = Line::with_window(street.stage.http, address(number), 0).await;
            let mut line = line.expect("room");
            let requests: Vec<_> = (0..20).map(|n| ask(n, &path)).collect();
            line.send(&requests.concat()).await.expect("it is read");
            lines.push(line);
        }
        for line in &mut lines {
            while line.hear().await.is_ok() {}
        }
    });
    street.assert_dropped("slow_reader", VIEWERS);
    street.close(Crowd { viewers: 200 * 2, held: 200 * 20, ..Crowd::default() });
}
