//! Hostile peers beside five real streams. Each test brings the attackers of one kind, from
//! addresses of their own, in bounded number and time, and asserts the same four things: the
//! streams are untouched, the memory stays below [`memory_max`], every drop is counted under its
//! right name, and the server serves on.

mod door;
mod frames;
mod framing;
mod http1;
mod http2;
mod media;
mod proxied;
mod refusals;
mod viewers;
mod wire;

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::http::Http;
use crate::neighbours::{Neighbours, PART_LATE_MAX, find_playlist, next_part};
use crate::stage::Stage;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// Who was there at once, over what the street itself needs.
#[derive(Clone, Copy, Debug, Default)]
struct Crowd {
    /// RTMP peers that never showed a key.
    newcomers: u64,
    /// Bytes of media that hostile publishers brought and that viewers may still fetch.
    media_bytes: u64,
    /// RTMP peers with a key.
    publishers: u64,
    /// HTTP connections.
    viewers: u64,
    /// Requests held, over their connections.
    held: u64,
}

/// Bytes that the server may hold at its worst moment. The README says what the limits allow; this
/// is tighter, since it counts what an attack has brought.
const fn memory_max(crowd: Crowd) -> u64 {
    /// The program, its runtime, its database, and what its allocator keeps of what was freed.
    const SERVER: u64 = 48 * MIB;
    /// The five streams of the street: 30 s of 0.7 Mbit/s, with their rings and playlists.
    const STREAMS: u64 = 5 * 8 * MIB;
    /// Below this a peer stays that has shown no key (R4).
    const NEWCOMER: u64 = 64 * KIB;
    /// Unfinished messages (`partial_bytes_max`), the message in work, and buffers.
    const PUBLISHER: u64 = 28 * MIB;
    /// Buffers in both directions, and the streams of HTTP/2.
    const VIEWER: u64 = 64 * KIB;
    /// Beyond its connection (W3).
    const HELD: u64 = 8 * KIB;
    /// Frames stay in the ring while their parts stand in the window.
    const COPIES: u64 = 2;
    SERVER
        + STREAMS
        + NEWCOMER * crowd.newcomers
        + COPIES * crowd.media_bytes
        + PUBLISHER * crowd.publishers
        + VIEWER * crowd.viewers
        + HELD * crowd.held
}

/// The rise of a part's latency that one peer may cause (R49, W11), over what the machine itself
/// took meanwhile.
const RISE_MAX: Duration = Duration::from_millis(20);
/// A machine that is busy with something else only ever adds to a latency, so the best of some
/// rounds is what the server does.
const ROUNDS: u32 = 3;

/// A server with its five streams.
struct Street {
    neighbours: Neighbours,
    stage: Stage,
}

impl Street {
    fn open(limits: &[(&str, &str)]) -> Self {
        Self::around(Stage::start(limits))
    }

    fn around(stage: Stage) -> Self {
        Self { neighbours: Neighbours::start(&stage), stage }
    }

    /// Runs an attack to its end and answers what the attackers saw.
    fn under<T>(&self, attack: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(attack)
    }

    /// The address of a neighbour's media playlist, and the segment that is being written.
    async fn edge(&self) -> (String, u64) {
        let mut http = Http::new(self.stage.http);
        let path = find_playlist(&mut http, "neighbour0").await.expect("it is on air");
        let playlist = http.get(&path).await.expect("an answer").text();
        (path, next_part(&playlist).0)
    }

    /// So many connections were dropped for this cause, and no more; an end is counted a moment
    /// after the peer has seen it.
    fn assert_dropped(&mut self, cause: &str, times: usize) {
        let times = wide(times);
        self.stage.wait_until(&format!("{times} times {cause}"), |s| times <= s.drops(cause));
        assert_eq!(self.stage.drops(cause), times, "{cause}");
    }

    /// During the attack no part takes longer than before it, and the server no more than a
    /// processor; how much longer, and how much of one.
    fn assert_unmoved(&self, what: &str, mut attack: impl FnMut()) {
        for _ in 0..ROUNDS {
            let start = Instant::now();
            self.neighbours.wait_for_parts(8);
            let before = self.neighbours.latency_since(start);
            let (start, cpu) = (Instant::now(), self.stage.cpu());
            attack();
            let cores = (self.stage.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
            self.neighbours.wait_for_parts(1);
            let during = self.neighbours.latency_since(start);
            let rise = during.p99.saturating_sub(before.p99);
            eprintln!("{what}: {cores:.2} cores, p99 {rise:?} above {before:?}: {during:?}");
            if rise <= RISE_MAX + during.unrest && cores <= 1.0 {
                return;
            }
        }
        panic!("{what}: too much in each of {ROUNDS} rounds");
    }

    /// Asserts what holds after every attack.
    fn close(self, crowd: Crowd) {
        self.close_within(crowd, PART_LATE_MAX);
    }

    /// The same where a part may come later.
    fn close_within(self, crowd: Crowd, late_max: Duration) {
        self.neighbours.assert_untouched_within(late_max);
        self.stage.assert_healthy();
        let (peak, max) = (self.stage.peak_bytes(), memory_max(crowd));
        eprintln!("peak memory {} MiB of {} MiB for {crowd:?}", peak / MIB, max / MIB);
        assert!(peak <= max, "{peak} bytes, {max} for {crowd:?}");
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).expect("64 bits are enough for any size")
}

/// The attackers' own addresses, all of them this machine, none of them the neighbours'.
fn address(number: usize) -> Ipv4Addr {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    Ipv4Addr::from(first + u32::try_from(number).expect("a test has fewer attackers"))
}
