//! Bad lines over real sockets. What they do to every byte of a publication is held in
//! `src/rtmp/fault_tests.rs` with paused time; here the kernel's sockets are between.

use std::net::SocketAddr;
use std::time::Duration;

use ghostlight::rtmp::client::Target;
use ghostlight::testing::fault::{End, Fault};
use ghostlight::testing::proxy::Proxy;

use super::{seed, until};
use crate::encoder::{Crowd, Encoder};
use crate::http::Http;
use crate::shown::{Shown, wait_for};
use crate::stage::Stage;

const MS: Duration = Duration::from_millis(1);

/// F11 and F13: an encoder behind a line that loses 5 %, is 200 ms long and jitters, and one whose
/// every byte travels alone, are live without a protocol error; a viewer behind such lines is
/// given the same bytes as one beside the server.
#[test]
fn bad_lines_break_no_protocol() {
    let stage = Stage::start(&[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let lossy =
        Fault { delay: 200 * MS, jitter: 100 * MS, lost_of_10_000: 500, ..Fault::default() };
    let split = Fault { piece_bytes_max: 1, ..Fault::default() };
    let seed = seed();
    let proxy = |target, line: Fault| {
        runtime.block_on(Proxy::start(target, seed, move |_| [line, line])).expect("a port")
    };
    let lines = [("lossy", lossy), ("split", split)].map(|(channel, line)| {
        let (rtmp, http) = (proxy(stage.rtmp, line), proxy(stage.http, line));
        let target = stage.key(channel);
        let through = Target { port: rtmp.address().port(), ..target };
        (channel, Encoder::start(&through), rtmp, http)
    });
    for (channel, _, _, http) in &lines {
        let playing = |shown: &Shown| !shown.segments().is_empty();
        let (near, _) = wait_for("a segment is there", stage.http, channel, playing);
        for segment in near.segments() {
            let answers = [stage.http, http.address()].map(|addr| get_bytes(addr, &segment));
            let [beside, behind] = answers;
            assert!(beside.len() > 1_000 && beside == behind, "{segment} differs");
        }
    }
    assert_eq!(stage.metric("rtmp_connections_ended_total"), 0);
    stage.assert_healthy();
}

/// The body of a whole answer, byte for byte.
fn get_bytes(addr: SocketAddr, path: &str) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime
        .expect("a runtime")
        .block_on(async { Http::new(addr).get(path).await.expect("an answer") });
    assert_eq!(answer.status, 200, "{path}");
    answer.body.to_vec()
}

/// Lines that are cut in every way: the encoder comes back in the same broadcast, and every
/// connection is given up for a reason that is its own.
#[test]
fn lines_that_end_are_lost_and_resumed() {
    let stage = Stage::start(&[("ingest_silence_max", "2s")]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ends = [End::Fin, End::Reset, End::HalfOpen];
    let proxy = Proxy::start(stage.rtmp, seed(), move |number| {
        let end = usize::try_from(number).ok().and_then(|number| ends.get(number));
        // The handshake and the commands are 4 kB, and media comes at 6 kB a second.
        let up = Fault { end: end.map(|&end| (16_000, end)), ..Fault::default() };
        [up, Fault::default()]
    });
    let proxy = runtime.block_on(proxy).expect("a port");
    let crowd = Crowd::start(stage.keys("cut", 1), Some(proxy.address()));
    let (first, _) = wait_for("it is live", stage.http, "cut0", |s| 0 < s.last_part());
    let reasons = ["left", "broken", "silent"];
    until("all three have happened", Duration::from_secs(20), || {
        3 <= reasons.iter().map(|reason| stage.drops(reason)).sum::<u64>()
    });
    assert_eq!(stage.drops("silent"), 1, "{}", stage.metrics());
    let breaks = |shown: &Shown| 3 <= shown.text.matches("#EXT-X-DISCONTINUITY\n").count();
    let (last, _) = wait_for("it goes on", stage.http, "cut0", breaks);
    assert_eq!(first.path, last.path);
    crowd.wait_for(1);
    stage.assert_healthy();
}
