//! Players of whole segments, all on one stream.

use std::sync::Arc;
use std::time::Duration;

use ghostlight::load::{Conduct, Counts, Crowd, Plan, Spread};
use tokio::time::sleep;

use super::phases::{Bench, Cost, find, measure, plan, progress, publish, to_f64};
use super::report::{Report, millis};
use super::servers::Server;

/// Players arrive over this time, each with three segments to fetch at once ...
const ARRIVAL: Duration = Duration::from_secs(10);
/// ... and have then found their pace.
const ARRIVED: Duration = Duration::from_secs(13);

pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let theirs = if bench.has_nginx {
        progress("nginx: plain players");
        Some(watch(bench, &Server::nginx(1)?, "/c0.m3u8").await?)
    } else {
        None
    };
    progress("ghostlight: plain players");
    let ours = watch(bench, &Server::ghostlight(1, &[])?, "/c0/index.m3u8").await?;

    let mut both = |name: &str, goal, number: &dyn Fn(&(Cost, Counts)) -> f64| {
        let name = format!("plain players: {name}");
        report.both(name, number(&ours), theirs.as_ref().map(number), goal);
    };
    both("Mbit/s in all", "", &|(cost, counts)| to_f64(counts.bytes) * 8.0 / 1e6 / cost.elapsed);
    both("CPU per GB, s", "<= 0.19", &|(cost, counts)| cost.cpu / (to_f64(counts.bytes) / 1e9));
    both("playlist p50, ms", "", &|(_, counts)| quantile(&counts.playlists, 500));
    both("playlist p99, ms", "<= 0.5", &|(_, counts)| quantile(&counts.playlists, 990));
    both("segment p50, ms", "", &|(_, counts)| quantile(&counts.media, 500));
    both("segment p99, ms", "<= 1.0", &|(_, counts)| quantile(&counts.media, 990));
    both("stalls", "0", &|(_, counts)| to_f64(counts.stalls));
    both("failed requests", "0", &|(_, counts)| to_f64(counts.failures));
    both("bench itself, looks at the clock 20 ms late, %", "0", &|(_, counts)| {
        100.0 * to_f64(counts.late_ticks) / to_f64(counts.ticks)
    });
    Ok(())
}

async fn watch(bench: &Bench<'_>, server: &Server, entry: &str) -> anyhow::Result<(Cost, Counts)> {
    let publishers = publish(bench, server, 1, &bench.clip).await?;
    let plan = plan(server.http, entry, bench.load.plain, Conduct::Plain);
    find(&plan).await?;
    let mut crowd = Crowd::new(Arc::clone(&bench.clock))?;
    crowd.send(&Plan { arrival: ARRIVAL, ..plan }, None);
    sleep(ARRIVED).await;
    let before = crowd.counts();
    let (cost, ()) = measure(server, sleep(bench.load.length())).await;
    let counts = crowd.counts() - before;
    crowd.finish().await;
    publishers.finish().await?;
    Ok((cost, counts))
}

fn quantile(spread: &Spread, per_thousand: u64) -> f64 {
    spread.quantile(per_thousand).map_or(f64::NAN, millis)
}
