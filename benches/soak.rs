//! The release server with publishers that come and go, for as long as it is told to: nothing may
//! grow, sound and picture stay together, and every playlist is right.
//! `cargo bench --bench soak -- --minutes 30`
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints, and keeps the time by itself"
)]

#[path = "soak/churn.rs"]
mod churn;
#[path = "load/clip.rs"]
mod clip;
#[path = "soak/judge.rs"]
mod judge;
#[path = "soak/offset.rs"]
mod offset;
#[allow(dead_code, reason = "shared with the load bench, which uses more of it")]
#[path = "load/publishers.rs"]
mod publishers;
#[path = "soak/samples.rs"]
mod samples;
#[allow(dead_code, reason = "shared with the load bench, which uses more of it")]
#[path = "load/servers.rs"]
mod servers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use ghostlight::base::{Clock, SystemClock};
use ghostlight::load::{Conduct, Counts, Crowd, Plan};
use tokio::time::{Instant, sleep_until};

use churn::Churn;
use clip::Clip;
use judge::{Judge, Verdicts};
use offset::Offset;
use samples::Samples;
use servers::Server;

/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Low-latency players of each stream, and players of whole segments.
const LOW_LATENCY: usize = 4;
const PLAIN: usize = 2;
/// Players of a stream arrive over this time.
const ARRIVAL: Duration = Duration::from_secs(5);

/// How long, and with whom.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "soak",
    about = "Watches the release server for long while publishers come and go"
)]
struct Soak {
    /// How long, in minutes (25 or more: the first twelve count for nothing)
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(25..=24 * 60))]
    minutes: u64,
    /// Publishers, each with six players
    #[arg(long, default_value_t = 20)]
    publishers: usize,
    /// Rate of each publisher, in kbit/s
    #[arg(long, default_value_t = 1_000)]
    kilobits: u64,
    /// Decides who comes and goes when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Set by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let soak = Soak::parse();
    if !soak.bench {
        println!("this is a bench: cargo bench --bench soak");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("two threads");
    match runtime.block_on(run(&soak)) {
        Ok(complaints) if complaints.is_empty() => {
            println!("nothing grew, nothing was wrong");
            ExitCode::SUCCESS
        }
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| println!("FAILED: {complaint}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the soak failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it all, and answers what was wrong.
async fn run(soak: &Soak) -> anyhow::Result<Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // The same key comes back far more often than an encoder would.
    let settings = [("LIMITS_TAKEOVERS_PER_TEN_MINUTES_MAX", "1000")];
    let server = Server::ghostlight(soak.publishers, &settings)?;
    let clip = Arc::new(Clip::new(soak.kilobits * 1_000));
    let churn = Churn::start(&server.targets, &clip, &clock, soak.seed);
    let offset = Arc::new(Offset::new());
    let crowd = gather(soak, &server, &clock, &offset)?;

    let mut samples = Samples::new(Duration::from_secs(soak.minutes * 60));
    let judge = Judge::start(server.http, soak.publishers);
    let start = Instant::now();
    let mut next = start;
    while start.elapsed() < samples.length() {
        next += SAMPLE_EVERY;
        sleep_until(next).await;
        samples.take(&server, start.elapsed(), &crowd.counts()).await?;
    }
    // Its last look is at streams that are still there.
    let verdicts = tokio::task::spawn_blocking(|| judge.finish()).await?;
    let (comings, mut complaints) = churn.finish().await;
    let counts = crowd.finish().await;
    println!("{}", samples.render());
    println!("{comings}");
    println!("{}", render(&counts));
    let Verdicts { held, unseen, broken, late } = &verdicts;
    println!(
        "checks: {held} held, {} rules broken, {} of time, {unseen} between broadcasts",
        broken.len(),
        late.len(),
    );
    let (parts, worst) = (offset.parts(), offset.worst_millis());
    println!("sound to picture, largest change of offset: {worst:.1} ms in {parts} parts");
    complaints.extend(samples.complaints());
    complaints.extend(broken.iter().take(10).cloned());
    if counts.is_too_busy() {
        println!("this machine was too busy to judge rules of time");
    } else {
        complaints.extend(late.iter().take(10).cloned());
    }
    let seen = *held > 0 || !broken.is_empty() || !late.is_empty();
    complaints.extend((!seen).then(|| "no stream was checked".to_owned()));
    complaints.extend(offset.complaint());
    complaints.extend((counts.stale > 0).then(|| format!("{} stale answers", counts.stale)));
    Ok(complaints)
}

/// Players of both kinds on every stream, who come back whenever a broadcast has ended.
fn gather(
    soak: &Soak,
    server: &Server,
    clock: &Arc<dyn Clock>,
    offset: &Arc<Offset>,
) -> anyhow::Result<Crowd> {
    let mut crowd = Crowd::new(Arc::clone(clock))?;
    for number in 0..soak.publishers {
        for (conduct, viewers) in [(Conduct::LowLatency, LOW_LATENCY), (Conduct::Plain, PLAIN)] {
            let plan = Plan {
                addr: server.http,
                authority: server.http.to_string().into(),
                entry: format!("/c{number}/index.m3u8").into(),
                viewers,
                conduct,
                arrival: ARRIVAL,
                returns: true,
            };
            crowd.send(&plan, Some(offset.clone()));
        }
    }
    Ok(crowd)
}

fn render(counts: &Counts) -> String {
    let Counts { requests, bytes, failures, stalls, stale, .. } = counts;
    format!(
        "players: {requests} requests, {} MB, {stalls} stalls and {failures} failures (publishers \
         come and go), {stale} stale answers, {} % of looks at the clock late",
        bytes / 1_000_000,
        counts.late_percent(),
    )
}
