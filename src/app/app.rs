use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;
use tracing::{info, warn};

use super::drain::{Asked, Signals};
use super::listeners::{Listeners, open_certificate};
use super::reload::Reloading;
use super::stage::Stage;
use super::telemetry::Log;
use super::tls::Certificate;
use super::{demo, first_start};
use crate::accounts::{Gatekeeper, Keys};
use crate::base::{ChannelId, Clock, Secret, ShiftedClock, SystemClock, WallTime};
use crate::config::{Config, Sources};
use crate::gate::{Policy, Schedule, build_time};
use crate::http;
use crate::hub::{EndReason, Registry};
use crate::live::Directory;
use crate::store::{self, ServerLock, Store};

/// A player that asks again after one target duration counts whole seconds, and needs a moment.
const GOODBYE_SLACK: Duration = Duration::from_secs(1);

/// How much of the grace is left for connections to end once everybody has had the time to read
/// how the broadcasts ended.
const VIEWERS_END: Duration = Duration::from_secs(1);

/// How long the last records may take.
const MEMORY_END_MAX: Duration = Duration::from_secs(2);

/// How a server is started, beside its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Behave as if it were this instant, and remember nothing of the gate.
    pub rehearse_at: Option<WallTime>,
    /// Keep no records: for the demo.
    pub forget: bool,
}

/// A running server.
#[derive(Debug)]
pub struct App {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Registry,
    pub(super) directory: Directory,
    pub(super) gatekeeper: Gatekeeper,
    pub(super) keys: Keys,
    pub(super) readiness: http::Readiness,
    pub(super) certificate: Option<Arc<Certificate>>,
    http: SocketAddr,
    rtmp: SocketAddr,
    admin: SocketAddr,
    first: Option<(ChannelId, Secret)>,
    /// Listeners and connections of publishers.
    pub(super) ingest: Stage,
    /// Packagers, and what tells them things.
    pub(super) readers: Stage,
    /// Listeners and connections of viewers and operators.
    pub(super) viewers: Stage,
    /// Records, keys and the memory of the gate.
    pub(super) memory: Stage,
    /// Held so that no second server opens the same data folder.
    _lock: Option<ServerLock>,
}

impl App {
    /// Opens everything, or says in one line what cannot be opened; nothing runs then.
    pub async fn start(config: Config, options: Options) -> anyhow::Result<Self> {
        let schedule = Schedule::build(&config.sunset)?;
        let certificate = open_certificate(&config)?;
        let clock = clock_of(options);
        let now = clock.now();
        let lock = if options.forget { None } else { Some(store::lock(&config.data_dir)?) };
        let store = match options.forget {
            true => store::in_memory(),
            false => store::open(&config.data_dir).await?,
        };
        let listeners = Listeners::open(&config, certificate.is_some())?;
        let gatekeeper = match options.rehearse_at {
            Some(_) => Gatekeeper::without_memory(Policy::rehearsal(schedule)),
            None => Gatekeeper::open(store.clone(), schedule, build_time(), now).await?,
        };
        let first = match options.forget {
            true => None,
            false => first_start::prepare(&*store, &gatekeeper, now).await?,
        };
        let last_id = store.next_broadcast_id(now.wall);
        let app = Self {
            registry: Registry::new(config.limits.clone(), config.hub, last_id),
            directory: Directory::new(),
            keys: Keys::open(store.clone(), now).await?,
            readiness: http::Readiness::new(),
            http: listeners.http.local_addr()?,
            rtmp: listeners.rtmp.local_addr()?,
            admin: listeners.admin.local_addr()?,
            ingest: Stage::default(),
            readers: Stage::default(),
            viewers: Stage::default(),
            memory: Stage::default(),
            _lock: lock,
            config,
            clock,
            store,
            gatekeeper,
            certificate,
            first,
        };
        app.run_all(listeners)?;
        app.readiness.open();
        app.log_start();
        Ok(app)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where viewers reach the server.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where encoders publish.
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    /// The channel and key that the first start made.
    pub fn first(&self) -> Option<(&ChannelId, &Secret)> {
        self.first.as_ref().map(|(channel, key)| (channel, key))
    }

    /// Loops the demo clip with a key that was just made, until the server stops.
    pub fn run_demo(&self, key: Secret) {
        let (clock, limits) = (self.clock.clone(), self.config.limits.clone());
        self.ingest.spawn(demo::run_loop(self.rtmp, key, limits, clock, self.ingest.stop.clone()));
    }

    /// Runs until a signal asks for the end, then drains; a second one leaves at once.
    pub(super) async fn run(self, sources: Sources, log: Log) -> anyhow::Result<()> {
        let mut signals = Signals::listen()?;
        // Without a service manager nobody hears it, which is no error.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let mut reloading = Reloading::new(sources, log, self.config.clone());
        while signals.next().await == Asked::Reload {
            let now = self.clock.now();
            reloading.reload(&self.gatekeeper, self.certificate.as_deref(), now).await;
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tokio::select! {
            biased;
            () = signals.asked_to_stop() => {
                warn!(live = self.registry.broadcasts().len(), "asked twice: leaving at once");
            }
            () = self.drain() => {}
        }
        Ok(())
    }

    /// Sources stop before sinks, within the grace.
    pub async fn drain(&self) {
        let live = self.registry.broadcasts().len();
        info!(live, "stopping");
        self.readiness.drain();
        self.gatekeeper.set_draining();
        let grace = self.config.limits.drain_grace;
        let in_order = time::timeout(grace, self.drain_in_order()).await;
        let (publishers, viewers) = (self.ingest.tasks.len(), self.viewers.tasks.len());
        match in_order {
            Ok(()) => info!(live, "stopped"),
            Err(_) => warn!(live, publishers, viewers, "stopped; connections were cut"),
        }
        // Records and the memory of the gate are written whoever was slow.
        let _ = time::timeout(MEMORY_END_MAX, self.memory.end()).await;
    }

    async fn drain_in_order(&self) {
        let begun = time::Instant::now();
        let target = self.directory.longest_target();
        // Before anybody is sent away, so that our own encoder knows why.
        self.ingest.stop.cancel();
        self.registry.stop_all(EndReason::Draining);
        self.ingest.end().await;
        // Whoever left without a word now waits for a resume that cannot come.
        self.registry.stop_all(EndReason::Draining);
        self.readers.end().await;
        // The final playlists are there; players that wait for nothing find them when they ask.
        if target > Duration::ZERO {
            let end = begun + self.config.limits.drain_grace.saturating_sub(VIEWERS_END);
            time::sleep_until(end.min(time::Instant::now() + target + GOODBYE_SLACK)).await;
        }
        self.viewers.end().await;
    }

    fn log_start(&self) {
        let policy = self.gatekeeper.current();
        match policy.schedule() {
            None => info!("no end is declared: sunset.publish_close_at is not set"),
            Some(schedule) => {
                let closes = schedule.show(schedule.publish_close());
                info!(phase = %policy.phase(self.clock.now().wall), %closes, "an end is declared");
                for warning in schedule.warnings() {
                    warn!("{warning}");
                }
            }
        }
        for warning in self.config.hls.warnings() {
            warn!("{warning}");
        }
        if policy.is_rehearsal() {
            warn!(at = %self.clock.now().wall, "rehearsal: the calendar is played");
        }
        let version = env!("CARGO_PKG_VERSION");
        info!(http = %self.http, rtmp = %self.rtmp, admin = %self.admin, version, "ready");
    }
}

fn clock_of(options: Options) -> Arc<dyn Clock> {
    match options.rehearse_at {
        Some(at) => Arc::new(ShiftedClock::starting_at(SystemClock::new(), at)),
        None => Arc::new(SystemClock::new()),
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
