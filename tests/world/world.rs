//! One world from its beginning to its end: who lives in it, and who looks at it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ghostlight::app::heartbeat::Heartbeat;
use ghostlight::base::BroadcastId;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::gate::Porter;
use super::judge::Judge;
use super::plan::Plan;
use super::stage::{Failure, Stage, Tally};
use super::{panics, source, viewer};

/// How often the oracles look.
const STEP: u64 = 20;
/// How much of the window may grow between two looks of the server at its memory.
const GROWTH_BYTES: usize = 200 << 10;
/// After this nothing of any broadcast is left: the resume window, the longest playlists, the time
/// that a final playlist is served, and the drain.
const AFTERLIFE: Duration = Duration::from_secs(1_500);

/// What came out of a world.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The same for the same plan.
    pub(crate) trace: u64,
    pub(crate) tally: Tally,
    pub(crate) failure: Option<Failure>,
}

/// Plays a plan on this thread, in no time but its own.
pub(crate) fn play(plan: Plan) -> Outcome {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    panics::forget();
    runtime.block_on(live(plan))
}

async fn live(plan: Plan) -> Outcome {
    let stage = Stage::open(plan).await;
    let beat = Heartbeat {
        keys: stage.keys.clone(),
        gatekeeper: stage.gatekeeper.clone(),
        registry: stage.registry.clone(),
        clock: stage.clock.clone(),
        permit_time_max: stage.limits.permit_time_max(),
    };
    let memory = CancellationToken::new();
    stage.servers.spawn(beat.run(memory.clone()));
    for index in 0..stage.plan.channels.len() {
        stage.people.spawn(source::run(stage.clone(), index));
    }
    let viewers = 0..stage.plan.viewers.len();
    let viewers: Vec<_> =
        viewers.map(|index| stage.people.spawn(viewer::run(stage.clone(), index))).collect();
    stage.people.spawn(set_calendar(stage.clone()));
    let mut trace = DefaultHasher::new();
    watch(&stage).await.hash(&mut trace);
    stage.people.close();
    for viewer in viewers {
        let seen = viewer.await;
        seen.unwrap_or_default().hash(&mut trace);
    }
    stage.people.wait().await;
    if stage.failure().is_none() {
        check_rest(&stage).await;
    }
    stage.stop.cancel();
    memory.cancel();
    stage.servers.close();
    stage.servers.wait().await;
    if stage.failure().is_none() {
        check_end(&stage);
    }
    if let Some(panic) = panics::take() {
        stage.fail(format!("panic: {panic}"));
    }
    for (name, value) in stage.figures() {
        if 0.0 < value {
            stage.note(&name);
        }
    }
    Outcome { trace: trace.finish(), tally: stage.tally(), failure: stage.failure() }
}

async fn set_calendar(stage: Arc<Stage>) {
    for (at, by) in stage.plan.calendar.clone() {
        if stage.over.run_until_cancelled(stage.sleep_until(at)).await.is_none() {
            return;
        }
        stage.set_calendar(by);
        stage.note(if by < 0 { "the calendar was set back" } else { "the calendar was set on" });
    }
}

/// Looks at everything, step by step, to the end. Answers a trace of what was published.
async fn watch(stage: &Arc<Stage>) -> u64 {
    let mut porter = Porter::new(stage);
    let mut judges: Vec<Judge> = Vec::new();
    let mut trace = DefaultHasher::new();
    let mut newest = vec![BroadcastId::new(0); stage.channels.len()];
    let mut now = 0;
    while now < stage.plan.millis && !stage.over.is_cancelled() {
        // Between the steps of encoders and those of viewers.
        now += STEP;
        stage.sleep_until(now | 1).await;
        porter.look(now);
        for (index, (channel, _)) in stage.channels.iter().enumerate() {
            let Some(current) = stage.directory.current(channel) else { continue };
            if newest[index] < current.broadcast_id() {
                newest[index] = current.broadcast_id();
                judges.push(Judge::new(stage, current, index, now));
            }
        }
        for judge in &mut judges {
            judge.look(now);
            if newest.contains(&judge.broadcast_id()) {
                judge.judge_liveness(now);
            }
        }
        judges.retain(|judge| {
            if judge.is_done() {
                judge.trace().hash(&mut trace);
            }
            !judge.is_done()
        });
        check_memory(stage);
        if let Some(panic) = panics::take() {
            stage.fail(format!("panic: {panic}"));
        }
    }
    stage.over.cancel();
    judges.iter().for_each(|judge| judge.trace().hash(&mut trace));
    trace.finish()
}

fn check_memory(stage: &Stage) {
    let rings = stage.registry.broadcasts().into_iter().map(|broadcast| broadcast.ring_bytes());
    let rings: Vec<usize> = rings.collect();
    if let Some(ring) = rings.iter().find(|ring| stage.limits.ring_bytes_max < **ring) {
        stage.fail(format!("X6: a ring of {ring} bytes"));
    }
    let windows: usize = stage.directory.list().iter().map(|one| one.window_bytes()).sum();
    let bytes = windows + rings.iter().sum::<usize>();
    if stage.limits.memory_bytes_max + GROWTH_BYTES < bytes {
        stage.fail(format!("X6: {bytes} bytes of media"));
    }
}

/// Everybody has left: nothing is held, and in the end nothing is kept.
async fn check_rest(stage: &Stage) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    let figures = stage.figures();
    for name in ["http_held_requests", "http_connections", "rtmp_connections", "rtmp_publishers"] {
        match figures.get(name) {
            Some(0.0) => {}
            found => stage.fail(format!("X6 rest: {name} is {found:?} after everybody left")),
        }
    }
    tokio::time::sleep(AFTERLIFE).await;
    let left = stage.directory.list().len();
    if left != 0 || !stage.registry.is_empty() {
        stage.fail(format!("X6 rest: {left} broadcasts are kept for ever"));
    }
}

fn check_end(stage: &Stage) {
    let figures = stage.figures();
    if figures.get("live_faults_total") != Some(&0.0) {
        stage.fail("X6 rest: a packager died");
    }
}
