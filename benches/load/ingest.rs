//! Publishers alone, and then low-latency players on some of their streams.

use std::sync::Arc;

use ghostlight::load::{Conduct, Crowd};
use tokio::time::sleep;

use super::phases::{
    Bench, Cost, count, find, late_percent, measure, mib, plan, progress, publish, to_f64,
};
use super::publishers::{Publishers, Punctuality};
use super::report::{Report, quantile};
use super::servers::Server;
use super::stamps::{Ages, Stamps};

/// What viewers can go back: so much is in memory for each stream.
const WINDOW: &str = "12s";
/// Low-latency players are dealt out over this many streams.
const WATCHED_STREAMS: usize = 10;

pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let theirs = if bench.has_nginx { Some(nginx(bench).await?) } else { None };
    progress("ghostlight: publishers");
    let server = Server::ghostlight(bench.load.publishers, &[("HLS_WINDOW", WINDOW)])?;
    let idle = server.usage().memory_bytes;
    let publishers = publish(bench, &server, bench.load.publishers, &bench.clip).await?;
    let (ingest, ()) = measure(&server, sleep(bench.load.length())).await;

    let streams = count(bench.load.publishers);
    let per_stream = |cost: Cost| cost.per_second() * 1e3 / streams;
    let nginx = theirs.map(|(cost, _)| per_stream(cost));
    report.both("CPU per stream-second, ms", per_stream(ingest), nginx, "<= 1.2");
    let memory = ingest.memory_bytes.saturating_sub(idle);
    let nginx = theirs.map(|(cost, _)| mib(cost.memory_bytes) / streams);
    let name = "memory per stream over a window of 12 s, MiB (nginx: without its files)";
    report.both(name, mib(memory) / streams, nginx, "<= 4.4");
    let window = server.gauge("ghostlight_live_window_bytes").await? / streams / 1_048_576.0;
    report.ours("... of it media in the window", window, "");
    let playlist = find(&plan(server.http, "/c0/index.m3u8", 1, Conduct::Plain)).await?.playlist;
    report.ours("... seconds listed in the playlist", playlist.length().as_secs_f64(), "");
    let rest = (mib(memory) / streams - window) * 1_024.0;
    report.ours("... neither: frames on their way, and the rest, KiB", rest, "<= 195 and a GOP");

    progress("ghostlight: low-latency players");
    low_latency(bench, &server, &publishers, ingest, report).await?;
    let late = late_percent(publishers.finish().await?);
    let nginx = theirs.map(|(_, punctuality)| late_percent(punctuality));
    report.both("bench itself: messages sent 20 ms late, %", late, nginx, "0: else too busy");
    Ok(())
}

async fn nginx(bench: &Bench<'_>) -> anyhow::Result<(Cost, Punctuality)> {
    progress("nginx: publishers");
    let server = Server::nginx(bench.load.publishers)?;
    let publishers = publish(bench, &server, bench.load.publishers, &bench.clip).await?;
    let (cost, ()) = measure(&server, sleep(bench.load.length())).await;
    Ok((cost, publishers.finish().await?))
}

async fn low_latency(
    bench: &Bench<'_>,
    server: &Server,
    publishers: &Publishers,
    ingest: Cost,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut crowd = Crowd::new(Arc::clone(&bench.clock))?;
    let from = bench.clock.now().mono;
    let streams = WATCHED_STREAMS.min(publishers.sent.len()).min(bench.load.players);
    let mut witnesses = Vec::new();
    for (number, sent) in publishers.sent.iter().take(streams).enumerate() {
        let stamps = Stamps::new(sent);
        let entry = format!("/c{number}/index.m3u8");
        let viewers = bench.load.players / streams;
        let plan = plan(server.http, &entry, viewers, Conduct::LowLatency);
        crowd.send(&plan, Some(stamps.clone()));
        witnesses.push(stamps);
    }
    let (cost, ()) = measure(server, sleep(bench.load.length())).await;
    let counts = crowd.finish().await;
    let mut ages = Ages::default();
    witnesses.iter().for_each(|stamps| ages.add(stamps.ages(from)));

    let requests = to_f64(counts.requests);
    let serving = (cost.per_second() - ingest.per_second()) * cost.elapsed;
    report.ours("low latency: requests a second", requests / cost.elapsed, "");
    report.ours("low latency: CPU per 1,000 requests, ms", serving * 1e6 / requests, "");
    report_ages("low latency", &mut ages, report);
    report.ours("low latency: stalls", to_f64(counts.stalls), "0");
    report.ours("low latency: failed requests", to_f64(counts.failures + counts.stale), "0");
    Ok(())
}

/// How old media was, for players that are named `who`.
pub(crate) fn report_ages(who: &str, ages: &mut Ages, report: &mut Report) {
    for (name, lengths, goals) in [
        ("last frame sent to part listed", &mut ages.listed, ["", ""]),
        ("last frame sent to part fetched", &mut ages.fetched, ["", ""]),
        ("following message sent to part fetched", &mut ages.after_next, ["", ""]),
        ("any frame sent to part fetched", &mut ages.each_frame, ["<= 140", "<= 265"]),
    ] {
        let [half, most] = goals;
        report.ours(format!("{who}: {name}, ms p50"), quantile(lengths, 500), half);
        report.ours(format!("{who}: {name}, ms p99"), quantile(lengths, 990), most);
    }
}
