//! Thousands of low-latency players on one stream: each part goes to all of them at once.

use std::sync::Arc;
use std::time::Duration;

use ghostlight::load::{Conduct, Crowd, Plan};
use tokio::time::sleep;

use super::clip::Clip;
use super::ingest::report_ages;
use super::phases::{Bench, late_percent, measure, plan, progress, publish, to_f64};
use super::report::Report;
use super::servers::Server;
use super::stamps::Stamps;

/// Players arrive over this time ...
const ARRIVAL: Duration = Duration::from_secs(10);
/// ... and have then found their pace.
const ARRIVED: Duration = Duration::from_secs(12);

pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    progress("ghostlight: low-latency players on one stream");
    let server = Server::ghostlight(1, &[])?;
    let clip = Arc::new(Clip::new(bench.load.edge_kilobits * 1_000));
    let publishers = publish(bench, &server, 1, &clip).await?;
    let stamps = publishers.sent.first().map(Stamps::new);
    let stamps = stamps.ok_or_else(|| anyhow::anyhow!("one publisher"))?;
    let plan = plan(server.http, "/c0/index.m3u8", bench.load.edge, Conduct::LowLatency);
    let mut crowd = Crowd::new(Arc::clone(&bench.clock))?;
    crowd.send(&Plan { arrival: ARRIVAL, ..plan }, Some(stamps.clone()));
    sleep(ARRIVED).await;
    let (before, from) = (crowd.counts(), bench.clock.now().mono);
    let (cost, ()) = measure(&server, sleep(bench.load.length())).await;
    let counts = crowd.counts() - before;
    crowd.finish().await;
    let late = late_percent(publishers.finish().await?);

    let requests = to_f64(counts.requests);
    report.ours("edge: requests a second", requests / cost.elapsed, "");
    report.ours("edge: Mbit/s", to_f64(counts.bytes) * 8.0 / 1e6 / cost.elapsed, "");
    report.ours("edge: CPU of the server, s per second", cost.per_second(), "");
    report.ours("edge: CPU per 1,000 requests, ms", cost.cpu * 1e6 / requests, "");
    let each = cost.bench_cpu * 1e6 / requests;
    report.ours("edge: CPU of the bench itself for one request, us", each, "");
    report_ages("edge", &mut stamps.ages(from), report);
    report.ours("edge: stalls", to_f64(counts.stalls), "0");
    report.ours("edge: failed requests", to_f64(counts.failures), "0");
    report.ours("edge: stale answers", to_f64(counts.stale), "0");
    report.ours("edge: bench itself, looks at the clock 20 ms late, %", late_looks(&counts), "0");
    report.ours("edge: bench itself, messages sent 20 ms late, %", late, "0");
    Ok(())
}

fn late_looks(counts: &ghostlight::load::Counts) -> f64 {
    100.0 * to_f64(counts.late_ticks) / to_f64(counts.ticks)
}
