//! What is measured, one after the other, so that each number has one cause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use ghostlight::base::{Clock, SystemClock};
use ghostlight::load::{Conduct, Plan, Survey, survey};
use tokio::time::{Instant, sleep};

use super::Load;
use super::clip::Clip;
use super::publishers::{Publishers, Punctuality};
use super::report::{Report, millis};
use super::servers::{Server, Usage};
use super::{edge, held, ingest, plain, single, storm};

/// A server that has started has this long to become calm.
const SETTLE: Duration = Duration::from_secs(1);
/// Playlists are read this early.
pub(crate) const FIRST_SEGMENTS: Duration = Duration::from_secs(7);
/// How long an idle server is watched: the kernel counts its CPU in steps of 10 ms.
const IDLE: Duration = Duration::from_secs(20);
/// A playlist is there after this many looks, or never.
const LOOKS: usize = 400;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const MIB: f64 = 1_048_576.0;

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    /// Nothing, and one first part
    Idle,
    /// Publishers, then low-latency players on some of them
    Ingest,
    /// Requests that wait
    Held,
    /// Low-latency players on one stream
    Edge,
    /// Players of whole segments on one stream
    Plain,
    /// One playlist and one segment over and over (wrk)
    Single,
    /// Publishers refused after the closing instant, beside live ones
    Storm,
}

/// What every phase needs.
pub(crate) struct Bench<'a> {
    pub(crate) load: &'a Load,
    pub(crate) clip: Arc<Clip>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) has_nginx: bool,
}

/// Runs the phases asked for and makes the table.
pub(crate) async fn run(load: &Load) -> Report {
    let has_nginx = !load.alone && Server::has_nginx();
    if !has_nginx {
        println!(
            "nginx with libnginx-mod-rtmp is left out: no ratios (apt-get install nginx libnginx-mod-rtmp)\n"
        );
    }
    let clip = Arc::new(Clip::new(load.kilobits * 1_000));
    let bench = Bench { load, clip, clock: Arc::new(SystemClock::new()), has_nginx };
    let mut report = Report::default();
    for phase in load.phases() {
        let measured = match phase {
            Phase::Idle => idle(&bench, &mut report).await,
            Phase::Ingest => ingest::run(&bench, &mut report).await,
            Phase::Held => held::run(&bench, &mut report).await,
            Phase::Edge => edge::run(&bench, &mut report).await,
            Phase::Plain => plain::run(&bench, &mut report).await,
            Phase::Single => single::run(&bench, &mut report).await,
            Phase::Storm => storm::run(&bench, &mut report).await,
        };
        // What the other phases measured is worth having.
        if let Err(error) = measured {
            report.fail(format!("{phase:?}: {error:#}"));
        }
    }
    report
}

/// What one phase cost a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    /// What the bench's own process used meanwhile.
    pub(crate) bench_cpu: f64,
    pub(crate) elapsed: f64,
    pub(crate) memory_bytes: u64,
}

impl Cost {
    pub(crate) fn per_second(self) -> f64 {
        self.cpu / self.elapsed
    }
}

/// Lets something pass and says what the server used meanwhile.
pub(crate) async fn measure<T>(server: &Server, what: impl Future<Output = T>) -> (Cost, T) {
    let (before, bench_before, start) = (server.usage(), Server::bench_cpu(), Instant::now());
    let done = what.await;
    let Usage { cpu, memory_bytes } = server.usage();
    let cpu = cpu.saturating_sub(before.cpu).as_secs_f64();
    let bench_cpu = Server::bench_cpu().saturating_sub(bench_before).as_secs_f64();
    (Cost { cpu, bench_cpu, elapsed: start.elapsed().as_secs_f64(), memory_bytes }, done)
}

/// A server with publishers on its first channels, once playlists are there.
pub(crate) async fn publish(
    bench: &Bench<'_>,
    server: &Server,
    count: usize,
    clip: &Arc<Clip>,
) -> anyhow::Result<Publishers> {
    let targets = server.targets.get(..count).unwrap_or_default();
    let publishers = Publishers::start(targets, clip, &bench.clock).await?;
    sleep(FIRST_SEGMENTS).await;
    Ok(publishers)
}

async fn idle(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    progress("idle");
    let server = Server::ghostlight(1, &[])?;
    report.ours("start to listening, ms", millis(server.listening_after), "<= 10");
    sleep(SETTLE).await;
    let (idle, ()) = measure(&server, sleep(IDLE.min(bench.load.length() * 2))).await;
    report.ours("idle memory, MiB", mib(idle.memory_bytes), "<= 12");
    report.ours("idle CPU, ms per second", idle.per_second() * 1e3, "0");

    progress("first part");
    let publishers = Publishers::start(&server.targets, &bench.clip, &bench.clock).await?;
    let plan = plan(server.http, "/c0/index.m3u8", 1, Conduct::LowLatency);
    let mut http = ghostlight::load::Http::new(server.http, Arc::clone(&plan.authority));
    for _ in 0..LOOKS {
        let Survey { path, playlist } = find(&plan).await?;
        let Some(part) = playlist.parts.iter().find(|part| part.independent) else {
            sleep(LOOK_EVERY).await;
            continue;
        };
        let path = ghostlight::load::resolve(&path, &part.piece.uri, &plan.authority);
        let path = path.context("a part on this server")?;
        http.get(&path, ghostlight::load::Body::Count).await?;
        let fetched = bench.clock.now().mono;
        let keyframe = publishers.sent.first().and_then(|sent| sent.at(0));
        let after = keyframe.map_or(f64::NAN, |at| millis(fetched.since(at)));
        report.ours("first keyframe sent to first part fetched, ms", after, "<= 500");
        publishers.finish().await?;
        return Ok(());
    }
    anyhow::bail!("no part within its time")
}

/// Players without an arrival of their own: all at once.
pub(crate) fn plan(addr: SocketAddr, entry: &str, viewers: usize, conduct: Conduct) -> Plan {
    Plan {
        addr,
        authority: addr.to_string().into(),
        entry: entry.into(),
        viewers,
        conduct,
        arrival: Duration::ZERO,
        returns: false,
    }
}

/// The media playlist of a plan, as soon as there is one.
pub(crate) async fn find(plan: &Plan) -> anyhow::Result<Survey> {
    for _ in 1..LOOKS {
        if let Ok(found) = survey(plan).await {
            return Ok(found);
        }
        sleep(LOOK_EVERY).await;
    }
    survey(plan).await.context("no playlist within its time")
}

/// What says whether the bench had time to be a judge.
pub(crate) fn late_percent(punctuality: Punctuality) -> f64 {
    100.0 * to_f64(punctuality.late) / to_f64(punctuality.messages)
}

/// Bench counts are far below 2^32 times 2^20, where this would begin to round.
pub(crate) fn to_f64(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

pub(crate) fn count(number: usize) -> f64 {
    to_f64(u64::try_from(number).unwrap_or(u64::MAX))
}

pub(crate) fn mib(bytes: u64) -> f64 {
    to_f64(bytes) / MIB
}

pub(crate) fn progress(what: &str) {
    eprintln!("... {what}");
}
