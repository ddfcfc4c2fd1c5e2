//! Requests that wait: what one costs while it does, and how soon all are answered.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ghostlight::base::{Clock, MonoTime};
use ghostlight::load::{Body, Conduct, Http, Plan, Playlist, Threads, check_descriptors, resolve};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clip::{Clip, stamps};
use super::phases::{Bench, count, find, measure, plan, progress, publish, to_f64};
use super::publishers::Sent;
use super::report::{Report, quantile};
use super::servers::Server;

/// Held requests are counted beside a broadcast so small that its window does not show.
const SMALL_CLIP_BITS_PER_SECOND: u64 = 150_000;
/// Rounds whose answers are timed.
const ROUNDS: usize = 5;
/// Connections from one address: above half the ports of it, the kernel looks long for a free one.
const SOURCE_CONNECTIONS: usize = 5_000;
/// Descriptors of the server beside those of its viewers.
const SPARE_DESCRIPTORS: usize = 50;

/// On a server of its own: memory that an earlier phase has freed would be used again unseen.
pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    progress("ghostlight: held requests");
    let server = Server::ghostlight(1, &[])?;
    let clip = Arc::new(Clip::new(SMALL_CLIP_BITS_PER_SECOND));
    let publishers = publish(bench, &server, 1, &clip).await?;
    let plan = plan(server.http, "/c0/index.m3u8", 1, Conduct::LowLatency);
    let path = find(&plan).await?.path;
    let idle = server.usage().memory_bytes;
    let threads = Threads::start()?;
    let mut connections = connect(&plan, affordable(bench.load.held), &threads).await?;
    let held = count(connections.iter().map(Vec::len).sum());
    let each = |bytes: u64| to_f64(bytes.saturating_sub(idle)) / 1_024.0 / held;
    sleep(Duration::from_millis(500)).await;
    let connected = each(server.usage().memory_bytes);
    let sent = publishers.sent.first().map(Arc::clone).context("one publisher")?;
    let clock = Arc::clone(&bench.clock);
    let mut answers = Answers { clock, sent, path, ages: Vec::new(), failed: 0, body_bytes: 0 };
    let (mut holding, mut cpu, mut bench_cpu) = (0.0_f64, 0.0, 0.0);
    for _ in 0..ROUNDS {
        let round = async {
            let (back, peak) = answers.round(connections, &server, &threads).await?;
            holding = holding.max(each(peak));
            anyhow::Ok(back)
        };
        let (cost, back) = measure(&server, round).await;
        (cpu, bench_cpu) = (cpu + cost.cpu, bench_cpu + cost.bench_cpu);
        connections = back?;
    }
    drop(connections);

    report.ours("held: requests at once", held, "20,000");
    report.ours("held: KiB of an answer", count(answers.body_bytes) / 1_024.0, "");
    report.ours("held: memory of an idle connection, KiB", connected, "");
    report.ours("held: memory of a held request, KiB", holding, "<= 8");
    let rounds = count(ROUNDS);
    report.ours("held: CPU of one request and answer, us", cpu * 1e6 / held / rounds, "");
    let each = bench_cpu * 1e6 / held / rounds;
    report.ours("held: CPU of the bench itself for the same, us", each, "");
    let ages = &mut answers.ages;
    report.ours("held: frame sent to answer, ms p50", quantile(ages, 500), "");
    report.ours("held: frame sent to answer, ms p99", quantile(ages, 990), "<= 150");
    report.ours("held: failed requests", to_f64(answers.failed), "0");
    publishers.finish().await?;
    Ok(())
}

/// As many as both this process and the server, which has the same ceiling, can open.
fn affordable(wanted: usize) -> usize {
    (0..wanted)
        .step_by(100)
        .map(|less| wanted - less)
        .find(|number| check_descriptors(number + SPARE_DESCRIPTORS).is_ok())
        .inspect(|number| {
            if *number < wanted {
                progress(&format!("{number} of {wanted}: no more descriptors (ulimit -n)"));
            }
        })
        .unwrap_or(wanted)
}

/// So many connections, dealt out to the threads and opened where they stay. They are all there long
/// before the server has waited [`ghostlight::base::Limits::request_head_time_max`] for the first
/// request of the first.
async fn connect(plan: &Plan, number: usize, threads: &Threads) -> anyhow::Result<Vec<Vec<Http>>> {
    let threads = threads.handles();
    let opening = threads.iter().enumerate().map(|(nth, thread)| {
        let share = number / threads.len() + usize::from(nth < number % threads.len());
        let plan = plan.clone();
        thread.spawn(async move {
            let mut connections = Vec::new();
            for place in 0..share {
                let source = source(nth, place);
                let http = Http::new(plan.addr, Arc::clone(&plan.authority));
                let mut http = http.from_source(source);
                http.connect().await?;
                connections.push(http);
            }
            io::Result::Ok(connections)
        })
    });
    let mut all = Vec::new();
    for opened in opening.collect::<Vec<_>>() {
        all.push(opened.await??);
    }
    Ok(all)
}

/// An address of the loopback network for each few thousand connections of a thread.
fn source(thread: usize, place: usize) -> IpAddr {
    let third = u8::try_from(1 + thread).unwrap_or(u8::MAX);
    let fourth = u8::try_from(1 + place / SOURCE_CONNECTIONS).unwrap_or(u8::MAX);
    IpAddr::from([127, 0, third, fourth])
}

/// Asks for the same on every connection of a thread at once. Those that were answered, the moment
/// of each last byte, and one of the bodies.
async fn ask_all(connections: Vec<Http>, path: Arc<str>, clock: Arc<dyn Clock>) -> Answered {
    let mut tasks = JoinSet::new();
    for (number, mut http) in connections.into_iter().enumerate() {
        let (path, clock) = (Arc::clone(&path), Arc::clone(&clock));
        // All bring the same bytes, and one of them is looked at.
        let body = if number == 0 { Body::Keep } else { Body::Count };
        tasks.spawn(async move {
            let answer = http.get(&path, body).await;
            let at = clock.now().mono;
            let answer = answer.ok().filter(|answer| answer.status == 200)?;
            Some((http, at, answer))
        });
    }
    let mut answered = Answered::default();
    while let Some(ended) = tasks.join_next().await {
        match ended.expect("nobody who asks panics") {
            Some((http, at, answer)) => {
                answered.connections.push(http);
                answered.times.push(at);
                answered.body_bytes = answer.body_bytes;
                let body = Some(answer.body).filter(|body| !body.is_empty());
                answered.body = answered.body.or(body);
            }
            None => answered.failed += 1,
        }
    }
    answered
}

/// What the connections of one thread got.
#[derive(Default)]
struct Answered {
    connections: Vec<Http>,
    times: Vec<MonoTime>,
    failed: u64,
    body: Option<Vec<u8>>,
    body_bytes: usize,
}

struct Answers {
    clock: Arc<dyn Clock>,
    sent: Arc<Sent>,
    path: String,
    /// From the last frame of the segment asked for to the whole answer.
    ages: Vec<Duration>,
    failed: u64,
    body_bytes: usize,
}

impl Answers {
    /// Asks for the end of the next segment on all connections, and gives back those that were
    /// answered, with the memory of the server shortly before.
    async fn round(
        &mut self,
        all: Vec<Vec<Http>>,
        server: &Server,
        threads: &Threads,
    ) -> anyhow::Result<(Vec<Vec<Http>>, u64)> {
        let plan = plan(server.http, &self.path, 1, Conduct::LowLatency);
        let next = find(&plan).await?.playlist.next_msn() + 1;
        let path: Arc<str> = format!("{}?_HLS_msn={next}", self.path).into();
        let asking = threads.handles().iter().zip(all).map(|(thread, connections)| {
            thread.spawn(ask_all(connections, Arc::clone(&path), Arc::clone(&self.clock)))
        });
        let asking: Vec<_> = asking.collect();
        // All have asked by then, and the segment is not over.
        sleep(Duration::from_millis(1_500)).await;
        let peak = server.usage().memory_bytes;
        let (mut back, mut times, mut body) = (Vec::new(), Vec::new(), None);
        for answered in asking {
            let answered = answered.await?;
            self.failed += answered.failed;
            self.body_bytes = self.body_bytes.max(answered.body_bytes);
            times.extend(answered.times);
            body = body.or(answered.body);
            back.push(answered.connections);
        }
        let sent = self.sent(&body.context("no first one was answered")?, next, server).await?;
        self.ages.extend(times.into_iter().map(|at| at.since(sent)));
        Ok((back, peak))
    }

    /// When the last frame was sent without which this playlist would not have come.
    async fn sent(&self, body: &[u8], msn: u64, server: &Server) -> anyhow::Result<MonoTime> {
        let playlist = Playlist::parse(std::str::from_utf8(body)?).context("a playlist")?;
        let last = playlist.parts.iter().rfind(|part| part.msn <= msn).context("a part")?;
        let authority: Arc<str> = server.http.to_string().into();
        let path = resolve(&self.path, &last.piece.uri, &authority).context("an address")?;
        let part = Http::new(server.http, authority).get(&path, Body::Keep).await?;
        let newest = stamps(&part.body).into_iter().max().context("a stamp")?;
        self.sent.at(newest).context("it was sent")
    }
}
