//! Requests that wait: what one costs while it does, and how soon all are answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use ghostlight::base::{Clock, MonoTime};
use ghostlight::load::{Body, Conduct, Http, Playlist, check_descriptors, resolve};
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
    let mut connections = Vec::new();
    for _ in 0..affordable(bench.load.held) {
        let mut http = Http::new(server.http, Arc::clone(&plan.authority));
        http.connect().await?;
        connections.push(http);
    }
    let held = count(connections.len());
    let each = |bytes: u64| to_f64(bytes.saturating_sub(idle)) / 1_024.0 / held;
    sleep(Duration::from_millis(500)).await;
    let connected = each(server.usage().memory_bytes);
    let sent = publishers.sent.first().map(Arc::clone).context("one publisher")?;
    let clock = Arc::clone(&bench.clock);
    let mut answers = Answers { clock, sent, path, ages: Vec::new(), failed: 0, body_bytes: 0 };
    let (mut holding, mut cpu) = (0.0_f64, 0.0);
    for _ in 0..ROUNDS {
        let round = async {
            let (back, peak) = answers.round(connections, &server).await?;
            holding = holding.max(each(peak));
            anyhow::Ok(back)
        };
        let (cost, back) = measure(&server, round).await;
        (cpu, connections) = (cpu + cost.cpu, back?);
    }
    drop(connections);

    report.ours("held: requests at once", held, "20,000");
    report.ours("held: KiB of an answer", count(answers.body_bytes) / 1_024.0, "");
    report.ours("held: memory of an idle connection, KiB", connected, "");
    report.ours("held: memory of a held request, KiB", holding, "<= 8");
    let rounds = count(ROUNDS);
    report.ours("held: CPU of one request and answer, us", cpu * 1e6 / held / rounds, "");
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
    async fn round(&mut self, all: Vec<Http>, server: &Server) -> anyhow::Result<(Vec<Http>, u64)> {
        let plan = plan(server.http, &self.path, 1, Conduct::LowLatency);
        let next = find(&plan).await?.playlist.next_msn() + 1;
        let path: Arc<str> = format!("{}?_HLS_msn={next}", self.path).into();
        let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let mut tasks = JoinSet::new();
        for (number, mut http) in all.into_iter().enumerate() {
            let clock = Arc::clone(&self.clock);
            let (path, first) = (Arc::clone(&path), Arc::clone(&first));
            tasks.spawn(async move {
                let body = if number == 0 { Body::Keep } else { Body::Count };
                let answer = http.get(&path, body).await.ok().filter(|a| a.status == 200)?;
                if number == 0 {
                    *first.lock().expect("no panic") = Some(answer.body);
                }
                Some((http, clock.now().mono, answer.body_bytes))
            });
        }
        // All have asked by then, and the segment is not over.
        sleep(Duration::from_millis(1_500)).await;
        let peak = server.usage().memory_bytes;
        let mut back = Vec::new();
        let mut times = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            match ended? {
                Some((http, at, bytes)) => {
                    (self.body_bytes, _) = (bytes, times.push(at));
                    back.push(http);
                }
                None => self.failed += 1,
            }
        }
        let body = first.lock().expect("no panic").take().context("the first was answered")?;
        let sent = self.sent(&body, next, server).await?;
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
