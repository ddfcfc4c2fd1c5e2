//! What everybody in a world shares: the server without sockets, its clock, and what was noted.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ghostlight::accounts::{Gatekeeper, Keys, issue_key};
use ghostlight::base::{
    BroadcastId, ChannelId, Clock, Limits, MonoTime, Now, Rival, Secret, WallTime,
};
use ghostlight::gate::{Schedule, ScheduleSettings};
use ghostlight::live::{Closing, Directory, Supervisor};
use ghostlight::{hls, http, hub, live, rtmp, store};
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Turns;
use super::plan::{Act, Plan};

/// 2026-11-21T08:00:00Z
const START: WallTime = WallTime::from_unix_millis(1_795_248_000_000);

/// Reads the runtime's own time; its calendar can be set.
#[derive(Debug)]
pub(crate) struct WorldClock {
    start: Instant,
    set_by_millis: AtomicI64,
}

impl Clock for WorldClock {
    fn now(&self) -> Now {
        let since = self.start.elapsed();
        let set = START.unix_millis() + self.set_by_millis.load(Ordering::Relaxed);
        Now { mono: MonoTime::from_start(since), wall: WallTime::from_unix_millis(set) + since }
    }
}

/// The first rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Milliseconds since the world began.
    pub(crate) at: u64,
    /// Begins with the rule and a colon.
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn rule(&self) -> &str {
        self.what.split(':').next().unwrap_or_default()
    }
}

/// Counts of what happened at least once.
pub(crate) type Tally = BTreeMap<String, u64>;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) limits: Limits,
    pub(crate) registry: hub::Registry,
    pub(crate) directory: Directory,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) keys: Keys,
    pub(crate) rtmp: rtmp::Server,
    pub(crate) http: http::Server,
    pub(crate) channels: Vec<(ChannelId, Secret)>,
    pub(crate) schedule: Option<Schedule>,
    /// Ends the server.
    pub(crate) stop: CancellationToken,
    /// Ends the people.
    pub(crate) over: CancellationToken,
    pub(crate) servers: TaskTracker,
    pub(crate) people: TaskTracker,
    pub(crate) clock: Arc<WorldClock>,
    metrics: MetricRegistry,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    failure: Option<Failure>,
    tally: Tally,
    /// From when on each channel's encoder does all that it should.
    well_from: BTreeMap<usize, u64>,
    /// A hash of the body behind each address.
    bodies: HashMap<String, u64>,
    turns: Turns,
}

impl Stage {
    pub(crate) async fn open(plan: Plan) -> Arc<Self> {
        let clock = Arc::new(WorldClock { start: Instant::now(), set_by_millis: 0.into() });
        let limits = Limits {
            ring_bytes_max: plan.ring_bytes_max,
            memory_bytes_max: plan.memory_bytes_max,
            ..Limits::default()
        };
        let store = store::in_memory();
        let mut channels = Vec::new();
        for index in 0..plan.channels.len() {
            let channel = ChannelId::parse(&format!("channel{index}")).expect("a good name");
            let issued = issue_key(&*store, &channel, "", Rival::default(), None, START).await;
            channels.push((channel, issued.expect("a store in memory").text));
        }
        let keys = Keys::open(store.clone(), clock.now()).await.expect("a store in memory");
        let schedule = schedule(&plan);
        let gatekeeper = Gatekeeper::open(store, schedule.clone(), None, clock.now()).await;
        let gatekeeper = gatekeeper.expect("a store in memory");
        let registry =
            hub::Registry::new(limits.clone(), hub::Settings::default(), BroadcastId::new(1));
        let directory = Directory::new();
        let servers = TaskTracker::new();
        let stop = CancellationToken::new();
        let mut metrics = MetricRegistry::default();
        let hls = hls::Settings {
            part_target: Duration::from_millis(plan.part_millis),
            window: Duration::from_secs(plan.window_secs),
            ..hls::Settings::default()
        };
        let supervisor = Supervisor::new(live::Context {
            registry: registry.clone(),
            directory: directory.clone(),
            clock: clock.clone(),
            settings: live::Settings { hls, ..live::Settings::default() },
            limits: limits.clone(),
            closing: watch::channel(schedule.as_ref().map(|s| Closing { at: s.publish_close() })).1,
            metrics: live::Metrics::register(&mut metrics),
            tasks: servers.clone(),
        });
        servers.spawn(supervisor.run(stop.clone()));
        let ingest = rtmp::Context::new(
            registry.clone(),
            keys.clone(),
            gatekeeper.clone(),
            limits.clone(),
            rtmp::Settings::default(),
            clock.clone(),
        );
        ingest.metrics.register(&mut metrics);
        let viewing = http::Context {
            settings: http::Settings::default(),
            limits: Arc::new(limits.clone()),
            clock: clock.clone(),
            directory: directory.clone(),
            keys: keys.clone(),
            policy: gatekeeper.policy(),
            readiness: http::Readiness::new(),
            pressure: registry.pressure().clone(),
            metrics: http::Metrics::new(&mut metrics),
        };
        Arc::new(Self {
            plan,
            limits,
            registry,
            directory,
            gatekeeper,
            keys,
            rtmp: rtmp::Server::new(ingest, servers.clone()),
            http: http::Server::new(viewing, servers.clone()),
            channels,
            schedule,
            stop,
            over: CancellationToken::new(),
            servers,
            people: TaskTracker::new(),
            clock,
            metrics,
            notes: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Milliseconds since the world began.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.now().mono.since_start().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) async fn sleep_until(&self, millis: u64) {
        sleep_until(self.clock.start + Duration::from_millis(millis)).await;
    }

    pub(crate) fn set_calendar(&self, by_millis: i64) {
        self.clock.set_by_millis.fetch_add(by_millis, Ordering::Relaxed);
    }

    /// Notes a broken rule, which ends the world.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        let failure = Failure { at: self.millis(), what: what.into() };
        self.notes().failure.get_or_insert(failure);
        self.over.cancel();
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.notes().failure.clone()
    }

    pub(crate) fn note(&self, what: &str) {
        let mut notes = self.notes();
        match notes.tally.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(notes.tally.insert(what.to_owned(), 1)),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.notes().tally.clone()
    }

    /// The encoder of a channel will not do all that it should before then.
    pub(crate) fn disturb(&self, channel: usize, until: u64) {
        let mut notes = self.notes();
        let from = notes.well_from.entry(channel).or_default();
        *from = until.max(*from);
    }

    /// Whether the encoder of a channel has been sending as it should.
    pub(crate) fn is_well(&self, channel: usize, now: u64) -> bool {
        self.notes().well_from.get(&channel).is_some_and(|from| *from <= now)
    }

    pub(crate) fn has_video(&self, channel: usize) -> bool {
        self.plan.channels.get(channel).is_some_and(|channel| channel.camera.video)
    }

    /// Whether a channel's keyframes are so close that every segment can begin with one.
    pub(crate) fn has_short_gops(&self, channel: usize) -> bool {
        let camera = self.plan.channels.get(channel).map(|channel| &channel.camera);
        camera.is_some_and(|camera| camera.gop * 1_000_000 <= camera.rate_millis * 1_500)
    }

    /// Whether what a channel's encoder makes is always on its way at once: what was held back and
    /// comes with the first frame, or before its time, looks as if it were of that moment.
    pub(crate) fn is_prompt(&self, channel: usize) -> bool {
        let events = self.plan.channels.get(channel).map(|channel| &channel.events);
        let held = |act: &Act| matches!(act, Act::Stall { .. } | Act::Flood);
        events.is_some_and(|events| !events.iter().any(|(_, act)| held(act)))
    }

    /// The encoder of a channel is not there.
    pub(crate) fn set_absent(&self, channel: usize) {
        self.notes().well_from.insert(channel, u64::MAX);
    }

    pub(crate) fn set_present(&self, channel: usize, well_from: u64) {
        self.notes().well_from.insert(channel, well_from);
    }

    /// H32: nothing is ever served under a name but what was first served under it.
    pub(crate) fn compare_body(&self, address: &str, hash: u64) {
        let known = *self.notes().bodies.entry(address.to_owned()).or_insert(hash);
        if known != hash {
            self.fail(format!("H32: two bodies behind {address}"));
        }
    }

    /// All that the server counts, one figure in a line.
    pub(crate) fn figures(&self) -> BTreeMap<String, f64> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).expect("a String");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }

    pub(crate) fn turns(&self) -> Turns {
        self.notes().turns
    }

    pub(crate) fn change_turns(&self, change: impl FnOnce(&mut Turns)) {
        change(&mut self.notes().turns);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn schedule(plan: &Plan) -> Option<Schedule> {
    let closing = plan.closing?;
    let at = START + Duration::from_millis(closing.at);
    let settings = ScheduleSettings {
        publish_close_at: Some(at.to_string()),
        finish_until: closing
            .finish_millis
            .map(|more| (at + Duration::from_millis(more)).to_string()),
        policy: Some(if closing.finish_millis.is_some() { "finish" } else { "cut" }.to_owned()),
        ..ScheduleSettings::default()
    };
    Schedule::build(&settings).expect("a good schedule")
}
