//! After the closing instant: whoever tries to start is refused, and those who are live go on.

use std::sync::Arc;
use std::time::Duration;

use ghostlight::base::{Clock, Limits};
use ghostlight::load::{Conduct, Crowd};
use ghostlight::rtmp::client::{ClientError, Link, Target};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::phases::{Bench, FIRST_SEGMENTS, count, measure, plan, progress, publish, to_f64};
use super::report::{Report, quantile};
use super::servers::Server;
use super::stamps::{Ages, Stamps};

/// Channels that are not live, whose keys are good.
const SPARE: usize = 10;
/// How long a publisher has to come, and the server to start, on a machine with other work: the
/// closing instant lies behind all of them.
const STAGGER_MILLIS: u64 = 60;
const START_TIME: Duration = Duration::from_secs(3);
/// How often some of the refused come.
const TICK: Duration = Duration::from_millis(10);
/// Refused ones on their way at once; more would be a storm on the bench.
const PENDING_MAX: usize = 2_000;
/// A part that is listed later than this after its last frame is late: a tenth of its 250 ms.
const LATE: Duration = Duration::from_millis(25);

pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    progress("ghostlight: refused publishers");
    let streams = bench.load.storm_streams;
    let opening = Duration::from_millis(STAGGER_MILLIS * u64::try_from(streams)?);
    let closing = || {
        let at = bench.clock.now().wall + START_TIME + opening + FIRST_SEGMENTS;
        vec![("SUNSET_PUBLISH_CLOSE_AT", at.to_string())]
    };
    let server = Server::ghostlight_with(streams + SPARE, closing)?;
    let publishers = publish(bench, &server, streams, &bench.clip).await?;

    let mut crowd = Crowd::new(Arc::clone(&bench.clock))?;
    let mut witnesses = Vec::new();
    for (number, sent) in publishers.sent.iter().enumerate() {
        let stamps = Stamps::new(sent);
        let plan = plan(server.http, &format!("/c{number}/index.m3u8"), 1, Conduct::LowLatency);
        crowd.send(&plan, Some(stamps.clone()));
        witnesses.push(stamps);
    }
    let spare = server.targets.get(streams..).unwrap_or_default();
    wait_until_closed(bench, spare).await?;
    let calm_from = bench.clock.now().mono;
    let (calm, ()) = measure(&server, sleep(bench.load.length())).await;
    let storm_from = bench.clock.now().mono;
    let (storm, mut refused) = measure(&server, refuse(bench, spare)).await;
    let counts = crowd.finish().await;
    publishers.finish().await?;

    let (mut before, mut during) = (Ages::default(), Ages::default());
    for stamps in &witnesses {
        before.add(stamps.ages(calm_from));
        during.add(stamps.ages(storm_from));
    }
    // What came during the storm is the end of what came since the calm began.
    let late = |ages: &Ages| ages.listed.iter().filter(|age| **age > LATE).count();
    let late_before = late(&before) - late(&during);
    report.ours(
        "storm: publishers refused a second",
        count(refused.times.len()) / storm.elapsed,
        "1,000",
    );
    report.ours("storm: refusal, connect to status, ms p50", quantile(&mut refused.times, 500), "");
    report.ours(
        "storm: refusal, connect to status, ms p99",
        quantile(&mut refused.times, 990),
        "<= 50",
    );
    report.ours("storm: not refused as they should be", to_f64(refused.others), "0");
    let each = (storm.cpu - calm.per_second() * storm.elapsed) / count(refused.times.len());
    report.ours("storm: CPU of one refusal, us", each * 1e6, "");
    report.ours("storm: parts listed 25 ms late, calm before it", count(late_before), "0");
    report.ours("storm: parts listed 25 ms late, during it", count(late(&during)), "0");
    report.ours("storm: of so many parts", count(during.listed.len()), "");
    report.ours("storm: part listed, ms p99", quantile(&mut during.listed, 990), "");
    report.ours("storm: stalls of players", to_f64(counts.stalls), "0");
    report.ours("storm: failed requests", to_f64(counts.failures), "0");
    Ok(())
}

/// The first refusal says that the instant has passed.
async fn wait_until_closed(bench: &Bench<'_>, spare: &[Target]) -> anyhow::Result<()> {
    for _ in 0..600 {
        for target in spare {
            if is_refusal(&attempt(target.clone(), Arc::clone(&bench.clock)).await) {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the closing instant never came")
}

#[derive(Default)]
struct Refused {
    times: Vec<Duration>,
    others: u64,
}

/// Lets so many a second try, for the length of a measurement.
async fn refuse(bench: &Bench<'_>, spare: &[Target]) -> Refused {
    let mut refused = Refused::default();
    let mut tasks: JoinSet<(Duration, bool)> = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = Instant::now() + bench.load.length();
    let each = bench.load.storm.div_ceil(100);
    let mut targets = spare.iter().cycle();
    while Instant::now() < end {
        ticks.tick().await;
        for target in targets.by_ref().take(each.min(PENDING_MAX - tasks.len())) {
            let (target, clock) = (target.clone(), Arc::clone(&bench.clock));
            tasks.spawn(async move {
                let start = Instant::now();
                let error = attempt(target, clock).await;
                (start.elapsed(), is_refusal(&error))
            });
        }
        while let Some(Ok((took, right))) = tasks.try_join_next() {
            refused.note(took, right);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.into_iter().for_each(|(took, right)| refused.note(took, right));
    }
    refused
}

impl Refused {
    fn note(&mut self, took: Duration, right: bool) {
        if right {
            self.times.push(took);
        } else {
            self.others += 1;
        }
    }
}

/// Tries to publish and leaves at once.
async fn attempt(target: Target, clock: Arc<dyn Clock>) -> Option<ClientError> {
    Link::open(target, &Limits::default(), clock).await.err()
}

fn is_refusal(error: &Option<ClientError>) -> bool {
    matches!(error, Some(ClientError::Refused { .. }))
}
