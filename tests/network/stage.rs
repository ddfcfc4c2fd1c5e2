//! The whole server on a host of a simulated network: both listeners, the supervisor, and one
//! channel with its key.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ghostlight::accounts::{Gatekeeper, Keys, issue_key};
use ghostlight::base::{BroadcastId, ChannelId, Clock, Limits, Rival, Secret, WallTime};
use ghostlight::hub::{Broadcast, BroadcastState};
use ghostlight::live::{self, Directory, Supervisor};
use ghostlight::testing::clock::RuntimeClock;
use ghostlight::{http, hub, rtmp, store};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turmoil::net::TcpListener;

/// 2026-11-21T08:00:00Z, on every host.
pub(crate) const START: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
pub(crate) const RTMP_PORT: u16 = 1935;
pub(crate) const HTTP_PORT: u16 = 80;
/// How long a lost publisher may come back.
pub(crate) const RESUME_WINDOW: Duration = Duration::from_secs(20);
/// How long a connection of a viewer may rest.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(15);

pub(crate) fn limits() -> Limits {
    Limits { http_idle_max: IDLE_MAX, ..Limits::default() }
}

pub(crate) fn channel() -> ChannelId {
    ChannelId::parse("demo").expect("a good name")
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) key: Secret,
    registry: hub::Registry,
    directory: Directory,
    metrics: MetricRegistry,
}

/// The stage once its host has opened it, for whoever looks in from elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<OnceLock<Stage>>);

impl Seen {
    /// Waits for the server to be there.
    pub(crate) async fn stage(&self) -> &Stage {
        loop {
            match self.0.get() {
                Some(stage) => return stage,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits for something to play.
    pub(crate) async fn on_air(&self) -> &Stage {
        let stage = self.stage().await;
        while stage.directory.current(&channel()).is_none_or(|r| r.published().is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
        stage
    }
}

impl Stage {
    /// The broadcast of the channel, unless it has ended.
    pub(crate) fn broadcast(&self) -> Option<Arc<Broadcast>> {
        self.registry.find(&channel())
    }

    pub(crate) fn broadcast_id(&self) -> Option<BroadcastId> {
        self.broadcast().map(|broadcast| broadcast.id())
    }

    pub(crate) fn is_live(&self) -> bool {
        self.broadcast().is_some_and(|b| b.state() == BroadcastState::Live)
    }

    /// The newest segment that is listed, whole or not.
    pub(crate) fn last_msn(&self) -> u64 {
        let published = self.directory.current(&channel()).and_then(|r| r.published());
        published.expect("something to play").last_msn.0
    }

    /// The value of a gauge that has no labels.
    pub(crate) fn gauge(&self, name: &str) -> i64 {
        let mut text = String::new();
        encode(&mut text, &self.metrics).expect("a text takes it");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("a gauge").parse().expect("digits")
    }
}

/// Runs the server on this host, as long as the simulation goes.
pub(crate) async fn serve(seen: Seen) -> io::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(START));
    let (limits, stop, tasks) = (limits(), CancellationToken::new(), TaskTracker::new());
    let store = store::in_memory();
    let issued = issue_key(&*store, &channel(), "", Rival::default(), None, START).await;
    let keys = Keys::open(store.clone(), clock.now()).await.expect("a store in memory");
    let gatekeeper = Gatekeeper::open(store, None, None, clock.now()).await;
    let gatekeeper = gatekeeper.expect("a store in memory");
    let settings = hub::Settings { resume_window: RESUME_WINDOW };
    let registry = hub::Registry::new(limits.clone(), settings, BroadcastId::new(1));
    let (directory, mut metrics) = (Directory::new(), MetricRegistry::default());
    let supervisor = Supervisor::new(live::Context {
        registry: registry.clone(),
        directory: directory.clone(),
        clock: clock.clone(),
        settings: live::Settings::default(),
        limits: limits.clone(),
        closing: watch::channel(None).1,
        metrics: live::Metrics::register(&mut metrics),
        tasks: tasks.clone(),
    });
    tasks.spawn(supervisor.run(stop.clone()));
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
    let apps = rtmp::Settings::default();
    let ingest = rtmp::Context::new(registry.clone(), keys, gatekeeper, limits, apps, clock);
    ingest.metrics.register(&mut metrics);
    let key = issued.expect("a store in memory").text;
    let rtmp = rtmp::Server::new(ingest, tasks.clone());
    let http = http::Server::new(viewing, tasks);
    let publishers = TcpListener::bind(("0.0.0.0", RTMP_PORT)).await?;
    let viewers = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
    seen.0.set(Stage { key, registry, directory, metrics }).expect("opened once");
    loop {
        tokio::select! {
            biased;
            accepted = publishers.accept() => {
                let (stream, address) = accepted?;
                rtmp.serve_stream(stream, address, &stop);
            }
            accepted = viewers.accept() => http.serve_stream(accepted?.0, None, &stop),
        }
    }
}
