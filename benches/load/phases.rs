//! What is measured, one after the other, so that each number has one cause.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, sleep_until};

use super::Load;
use super::clip::Clip;
use super::players::{Crowd, Held, Seen, find_playlist, first_part, read_playlist};
use super::publishers::{Publishers, Punctuality};
use super::report::{Report, millis, quantile};
use super::servers::{Server, Usage};

/// A server that has started has this long to become calm.
const SETTLE: Duration = Duration::from_secs(1);
/// Low-latency players are dealt out over this many streams.
const WATCHED_STREAMS: usize = 10;
/// Playlists are read this early.
const FIRST_SEGMENTS: Duration = Duration::from_secs(7);
/// How long an idle server is watched: the kernel counts its CPU in steps of 10 ms.
const IDLE: Duration = Duration::from_secs(20);
/// Plain players arrive over this time, each with three segments to fetch at once ...
const ARRIVAL: Duration = Duration::from_secs(10);
/// ... and have then found their pace.
const ARRIVED: Duration = Duration::from_secs(13);
/// Held requests are counted beside a broadcast so small that its window does not show.
const SMALL_CLIP_BITS_PER_SECOND: u64 = 150_000;
const MIB: f64 = 1_048_576.0;

/// What one phase cost a server.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: f64,
    elapsed: f64,
    memory_bytes: u64,
}

impl Cost {
    fn per_second(self) -> f64 {
        self.cpu / self.elapsed
    }
}

/// Lets `length` pass and says what the server used meanwhile.
async fn measure(server: &Server, length: Duration) -> Cost {
    let (before, start) = (server.usage(), Instant::now());
    sleep(length).await;
    let Usage { cpu, memory_bytes } = server.usage();
    let cpu = cpu.saturating_sub(before.cpu).as_secs_f64();
    Cost { cpu, elapsed: start.elapsed().as_secs_f64(), memory_bytes }
}

/// Runs everything and makes the table.
pub(crate) async fn run(load: &Load) -> anyhow::Result<Report> {
    let clip = Arc::new(Clip::new(load.kilobits * 1_000));
    let theirs = if load.alone { None } else { nginx(load, &clip).await.context("nginx")? };
    if theirs.is_none() {
        println!(
            "nginx with libnginx-mod-rtmp is left out: no ratios (apt-get install nginx libnginx-mod-rtmp)\n"
        );
    }
    ghostlight(load, &clip, theirs.as_ref()).await.context("ghostlight")
}

/// What nginx needed for the same work.
struct Theirs {
    ingest: Cost,
    plain: Cost,
    seen: Seen,
    punctuality: Punctuality,
}

async fn nginx(load: &Load, clip: &Arc<Clip>) -> anyhow::Result<Option<Theirs>> {
    let Some(server) = Server::nginx(load.publishers)? else { return Ok(None) };
    progress("nginx: publishers");
    let publishers = Publishers::start(&server.targets, clip).await?;
    sleep(FIRST_SEGMENTS).await;
    let ingest = measure(&server, load.length()).await;
    let punctuality = publishers.finish().await?;

    progress("nginx: plain players");
    let targets = server.targets.get(..1).unwrap_or_default();
    let publishers = Publishers::start(targets, clip).await?;
    sleep(FIRST_SEGMENTS).await;
    let (plain, seen) = plain_players(load, &server, "/c0.m3u8").await;
    publishers.finish().await?;
    Ok(Some(Theirs { ingest, plain, seen, punctuality }))
}

async fn ghostlight(
    load: &Load,
    clip: &Arc<Clip>,
    theirs: Option<&Theirs>,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let server = Server::ghostlight(load.publishers + 1)?;
    report.ours("start to listening, ms", millis(server.listening_after), "<= 20");
    sleep(SETTLE).await;
    let idle = measure(&server, IDLE).await;
    report.ours("idle memory, MiB", mib(idle.memory_bytes), "<= 25");
    report.ours("idle CPU, ms per second", idle.per_second() * 1e3, "0");

    first_playable(&server, clip, &mut report).await?;

    progress("ghostlight: publishers");
    let targets = server.targets.get(..load.publishers).unwrap_or_default();
    let publishers = Publishers::start(targets, clip).await?;
    sleep(FIRST_SEGMENTS).await;
    let ingest = measure(&server, load.length()).await;
    let path = find_playlist(server.http, "c0").await?;
    let window = read_playlist(server.http, &path).await?.length();
    report_ingest(load, clip, idle, ingest, window, theirs, &mut report);

    progress("ghostlight: low-latency players");
    low_latency(load, &server, &publishers, ingest, &mut report).await;
    let late = late_percent(publishers.finish().await?);
    let nginx = theirs.map(|theirs| late_percent(theirs.punctuality));
    report.both("bench itself: messages sent 20 ms late, %", late, nginx, "0: else too busy");

    progress("ghostlight: held requests");
    held(load, &mut report).await?;

    progress("ghostlight: plain players");
    let targets = server.targets.get(..1).unwrap_or_default();
    let publishers = Publishers::start(targets, clip).await?;
    sleep(FIRST_SEGMENTS).await;
    let path = find_playlist(server.http, "c0").await?;
    let (plain, seen) = plain_players(load, &server, &path).await;
    report_plain(plain, seen, theirs, &mut report);
    publishers.finish().await?;
    Ok(report)
}

/// From the first keyframe sent to the first part fetched, on a channel nothing else uses.
async fn first_playable(
    server: &Server,
    clip: &Arc<Clip>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let spare = server.targets.len() - 1;
    let target = server.targets.get(spare..).unwrap_or_default();
    let publishers = Publishers::start(target, clip).await?;
    let fetched = first_part(server.http, &format!("c{spare}")).await?;
    let keyframe = publishers.sent.first().and_then(|sent| sent.at(0));
    let after = keyframe.map_or(f64::NAN, |at| millis(fetched.saturating_duration_since(at)));
    report.ours("first keyframe sent to first part fetched, ms", after, "<= 500");
    publishers.finish().await?;
    Ok(())
}

fn report_ingest(
    load: &Load,
    clip: &Clip,
    idle: Cost,
    ingest: Cost,
    window: Duration,
    theirs: Option<&Theirs>,
    report: &mut Report,
) {
    let streams = f64::from(u32::try_from(load.publishers).unwrap_or(u32::MAX));
    let per_stream = |cost: Cost| cost.per_second() * 1e3 / streams;
    let nginx = theirs.map(|theirs| per_stream(theirs.ingest));
    let goal = "ratio <= 1";
    report.both("CPU per stream-second, ms", per_stream(ingest), nginx, goal);
    let rate = f64::from(u32::try_from(clip.bits_per_second / 8).unwrap_or(u32::MAX));
    let window_bytes = window.as_secs_f64() * rate;
    let memory = mib(ingest.memory_bytes.saturating_sub(idle.memory_bytes)) / streams;
    let name = format!("memory per stream over {:.1} s of window, MiB", window.as_secs_f64());
    let nginx = theirs.map(|theirs| mib(theirs.ingest.memory_bytes) / streams);
    report.both(name, memory, nginx, "nginx: without its files");
    report.ours("... allowed: 1.3 x window bytes + 1 MiB", window_bytes * 1.3 / MIB + 1.0, "");
}

async fn low_latency(
    load: &Load,
    server: &Server,
    publishers: &Publishers,
    ingest: Cost,
    report: &mut Report,
) {
    let watched: Vec<_> = publishers
        .sent
        .iter()
        .take(WATCHED_STREAMS)
        .enumerate()
        .map(|(number, sent)| (format!("c{number}"), Arc::clone(sent)))
        .collect();
    let crowd = Crowd::low_latency(server.http, load.players, &watched);
    let cost = measure(server, load.length()).await;
    let mut seen = crowd.finish().await;
    let requests = f64::from(u32::try_from(seen.requests).unwrap_or(u32::MAX));
    let serving = (cost.per_second() - ingest.per_second()) * cost.elapsed;
    report.ours("low latency: requests a second", requests / cost.elapsed, "");
    report.ours("low latency: CPU per 1,000 requests, ms", serving * 1e6 / requests, "");
    for (name, lengths, goal) in [
        ("last frame sent to part listed, ms", &mut seen.listed, ""),
        ("last frame sent to part fetched, ms", &mut seen.fetched, "p99 <= 10"),
        ("following message sent to part fetched, ms", &mut seen.after_next, ""),
    ] {
        report.ours(format!("{name} p50"), quantile(lengths, 500), "");
        report.ours(format!("{name} p99"), quantile(lengths, 990), goal);
    }
    report.ours("low latency: stalls", to_f64(seen.stalls), "0");
    report.ours("low latency: failed requests", to_f64(seen.errors), "0");
}

/// On a server of its own: memory that an earlier phase has freed would be used again unseen.
async fn held(load: &Load, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::ghostlight(1)?;
    let clip = Arc::new(Clip::new(SMALL_CLIP_BITS_PER_SECOND));
    let publishers = Publishers::start(&server.targets, &clip).await?;
    sleep(FIRST_SEGMENTS).await;
    let path = find_playlist(server.http, "c0").await?;
    let before = server.usage().memory_bytes;
    let held = Held::connect(server.http, load.held).await?;
    let playlist = read_playlist(server.http, &path).await?;
    let connected = server.usage().memory_bytes;
    let length = Duration::from_millis(1_500);
    let holding = held.hold(&path, &playlist, length);
    let sample = async {
        sleep(length.mul_f64(0.8)).await;
        server.usage().memory_bytes
    };
    let ((), holding) = tokio::join!(holding, sample);
    let count = f64::from(u32::try_from(load.held).unwrap_or(u32::MAX));
    let each = |bytes: u64| to_f64(bytes) / 1024.0 / count;
    report.ours("memory per idle connection, KiB", each(connected.saturating_sub(before)), "");
    report.ours("memory per held request, KiB", each(holding.saturating_sub(before)), "<= 16");
    publishers.finish().await?;
    Ok(())
}

async fn plain_players(load: &Load, server: &Server, path: &str) -> (Cost, Seen) {
    let from = Instant::now() + ARRIVED;
    let crowd = Crowd::plain(server.http, load.plain, path, ARRIVAL, from);
    sleep_until(from).await;
    let cost = measure(server, load.length()).await;
    (cost, crowd.finish().await)
}

fn report_plain(plain: Cost, mut seen: Seen, theirs: Option<&Theirs>, report: &mut Report) {
    let per_gigabyte = |cost: Cost, seen: &Seen| cost.cpu / (to_f64(seen.bytes) / 1e9);
    let nginx = theirs.map(|theirs| per_gigabyte(theirs.plain, &theirs.seen));
    let rate = to_f64(seen.bytes) * 8.0 / 1e6 / plain.elapsed;
    let nginx_rate =
        theirs.map(|theirs| to_f64(theirs.seen.bytes) * 8.0 / 1e6 / theirs.plain.elapsed);
    report.both("plain players: Mbit/s in all", rate, nginx_rate, "");
    let goal = "ratio <= 1.5";
    report.both("plain players: CPU per GB, s", per_gigabyte(plain, &seen), nginx, goal);
    for (name, per_thousand, goal) in [("p50", 500, ""), ("p99", 990, "<= 2")] {
        let nginx = theirs.map(|theirs| {
            let mut playlists = theirs.seen.playlists.clone();
            quantile(&mut playlists, per_thousand)
        });
        let name = format!("plain players: playlist {name}, ms");
        report.both(name, quantile(&mut seen.playlists, per_thousand), nginx, goal);
    }
    let nginx = theirs.map(|theirs| to_f64(theirs.seen.stalls));
    report.both("plain players: stalls", to_f64(seen.stalls), nginx, "0");
    let nginx = theirs.map(|theirs| to_f64(theirs.seen.errors));
    report.both("plain players: failed requests", to_f64(seen.errors), nginx, "0");
}

fn late_percent(punctuality: Punctuality) -> f64 {
    100.0 * to_f64(punctuality.late) / to_f64(punctuality.messages)
}

/// Bench counts are far below 2^32 times 2^20, where this would begin to round.
fn to_f64(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

fn mib(bytes: u64) -> f64 {
    to_f64(bytes) / MIB
}

fn progress(what: &str) {
    eprintln!("... {what}");
}
