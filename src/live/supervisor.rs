use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use super::directory::Directory;
use super::memory;
use super::metrics::Metrics;
use super::packager::{Packager, Scratch};
use super::rendition::Rendition;
use crate::base::{Clock, Limits, MediaSeq, Scarce, WallTime};
use crate::hls::{self, Closing, Segmenter, Window};
use crate::hub::{Broadcast, EndReason, Event, Registry};

/// How often windows, ended renditions and resume windows are looked at.
const TICK: Duration = Duration::from_secs(1);
/// 2020-01-01T00:00:00Z in seconds since 1970.
const MSN_EPOCH: i64 = 1_577_836_800;

/// What the operator chooses about what viewers get.
#[derive(Clone, Debug)]
pub struct Settings {
    pub hls: hls::Settings,
    /// How long a final playlist is served at least; longer if the playlist is longer.
    pub final_playlist_min: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hls: hls::Settings::default(), final_playlist_min: Duration::from_secs(600) }
    }
}

/// What a supervisor works with.
#[derive(Clone, Debug)]
pub struct Context {
    pub registry: Registry,
    pub directory: Directory,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub limits: Limits,
    /// The end of the service, shown in every playlist from its announcement on.
    pub closing: watch::Receiver<Option<Closing>>,
    pub metrics: Metrics,
    /// Packagers are spawned here.
    pub tasks: TaskTracker,
}

/// Hears what the hub says and keeps one packager for each running broadcast.
#[derive(Debug)]
pub struct Supervisor {
    context: Context,
}

impl Supervisor {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Runs until `stop`, which also ends every packager.
    pub async fn run(self, stop: CancellationToken) {
        let mut events = self.context.registry.watch();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.start_missing(&stop);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Ok(Event::Started(broadcast)) => self.start(&broadcast, &stop),
                    // Its packager hears it too, after the last frame.
                    Ok(Event::Ended(..)) => {}
                    Err(RecvError::Lagged(_)) => self.start_missing(&stop),
                    Err(RecvError::Closed) => return,
                },
                // A server at rest does not wake up for nothing.
                _ = tick.tick(), if self.has_work() => self.handle_tick(),
            }
        }
    }

    /// Starts whatever runs and has no packager: at the start, and when news were lost.
    fn start_missing(&self, stop: &CancellationToken) {
        for broadcast in self.context.registry.broadcasts() {
            self.start(&broadcast, stop);
        }
    }

    fn start(&self, broadcast: &Arc<Broadcast>, stop: &CancellationToken) {
        let context = &self.context;
        if context.directory.find(broadcast.channel(), broadcast.id()).is_some() {
            return;
        }
        let rendition = Arc::new(Rendition::new(
            broadcast.channel().clone(),
            broadcast.id(),
            broadcast.started(),
            Window::new(context.settings.hls.window, context.limits.window_bytes_max),
            context.metrics.clone(),
        ));
        context.directory.add(rendition.clone());
        let packager = self.packager(broadcast, rendition.clone());
        let span =
            info_span!("packager", broadcast = %broadcast.id(), channel = %broadcast.channel());
        let run = packager.run(stop.clone()).instrument(span.clone());
        let running = context.tasks.spawn(run);
        let (context, broadcast) = (context.clone(), broadcast.clone());
        let watched = async move {
            if let Err(failure) = running.await {
                end_failed(&context, &broadcast, &rendition, &failure);
            }
        };
        self.context.tasks.spawn(watched.instrument(span));
    }

    fn packager(&self, broadcast: &Arc<Broadcast>, rendition: Arc<Rendition>) -> Packager {
        let Context { settings, limits, .. } = &self.context;
        let started = broadcast.started().wall;
        Packager {
            subscription: broadcast.subscribe(),
            segmenter: Segmenter::new(&settings.hls, limits, first_msn(started), started),
            rendition,
            clock: self.context.clock.clone(),
            closing: self.context.closing.clone(),
            metrics: self.context.metrics.clone(),
            part_target: settings.hls.part_target,
            segment_target: settings.hls.segment_target,
            scratch: Scratch::default(),
        }
    }

    /// Whether anything grows old: a broadcast, or what is left of one.
    fn has_work(&self) -> bool {
        !self.context.directory.is_empty() || !self.context.registry.is_empty()
    }

    fn handle_tick(&self) {
        let Context { registry, directory, limits, metrics, settings, .. } = &self.context;
        let now = self.context.clock.now().mono;
        registry.expire(now);
        directory.expire(now, settings.final_playlist_min);
        let rings: usize = registry.broadcasts().iter().map(|b| b.ring_bytes()).sum();
        let available = limits.memory_bytes_max.saturating_sub(rings);
        let bytes = memory::balance(directory, available, now);
        metrics.window_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        metrics.renditions.set(i64::try_from(directory.all().len()).unwrap_or(i64::MAX));
        self.tell_pressure(rings + memory::floor(directory));
    }

    /// `taken` is what no window can give back.
    fn tell_pressure(&self, taken: usize) {
        let Context { registry, limits, metrics, .. } = &self.context;
        let before = registry.pressure().of(Scarce::Memory);
        let pressure = before.next(taken, limits.memory_bytes_max);
        registry.pressure().replace(Scarce::Memory, pressure);
        metrics.memory_pressure.set(i64::from(pressure.index()));
        if before < pressure {
            warn!(taken, pressure = pressure.as_str(), "the memory for media runs out");
        } else if pressure < before {
            info!(taken, pressure = pressure.as_str(), "there is memory for media again");
        }
    }
}

/// A packager died of a defect. Its broadcast ends, and nothing else.
fn end_failed(
    context: &Context,
    broadcast: &Arc<Broadcast>,
    rendition: &Rendition,
    failure: &tokio::task::JoinError,
) {
    if failure.is_cancelled() {
        return;
    }
    error!("a defect ended the packager");
    context.metrics.faults.inc();
    let reason = EndReason::Faulted("packager_fault");
    broadcast.end(reason);
    rendition.end(reason, context.clock.now(), *context.closing.borrow());
}

/// Seconds since 2020 and never below 1: some players take a media sequence of 0 for none, and a
/// later broadcast starts higher than an earlier one.
fn first_msn(started: WallTime) -> MediaSeq {
    let seconds = started.unix_secs().saturating_sub(MSN_EPOCH);
    MediaSeq(u64::try_from(seconds).unwrap_or(0).max(1))
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
