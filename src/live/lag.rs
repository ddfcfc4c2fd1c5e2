use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::metrics::Metrics;
use crate::base::{Clock, Lag, Limits, Pressure, Scarce};
use crate::hub::Registry;

/// How often it is looked how late we are. A quota of the kernel has periods of 100 ms; in step
/// with those every look would find the same.
const LOOK: Duration = Duration::from_millis(70);

/// Measures how late this process comes to what is due, and tells the registry and everybody who
/// asks it what to give up for that.
#[derive(Debug)]
pub struct LagWatch {
    registry: Registry,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    max: Duration,
}

impl LagWatch {
    pub fn new(
        registry: Registry,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        limits: &Limits,
    ) -> Self {
        Self { registry, clock, metrics, max: limits.lag_max }
    }

    /// Looks until `stop`, while there are broadcasts: nobody else is worth a wake-up.
    pub async fn run(self, stop: CancellationToken) {
        let watching = async {
            loop {
                // Not kept while we look: what nobody reads of the news stays in memory.
                let mut events = self.registry.watch();
                if self.registry.is_empty() {
                    if let Err(RecvError::Closed) = events.recv().await {
                        return;
                    }
                } else {
                    drop(events);
                    self.watch_broadcasts().await;
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(watching).await;
    }

    /// Looks until the last broadcast is forgotten.
    async fn watch_broadcasts(&self) {
        let mut lag = Lag::new(self.max, self.clock.now().mono);
        let mut looks = time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.registry.is_empty() {
            let due = looks.tick().await;
            let pressure = lag.note(due.elapsed(), self.clock.now().mono);
            self.tell(pressure, lag.mean());
        }
        self.tell(Pressure::None, Duration::ZERO);
    }

    fn tell(&self, pressure: Pressure, lag: Duration) {
        let before = self.registry.pressure().replace(Scarce::Processor, pressure);
        self.metrics.processor_pressure.set(i64::from(pressure.index()));
        self.metrics.lag_micros.set(i64::try_from(lag.as_micros()).unwrap_or(i64::MAX));
        let step = pressure.as_str();
        if before < pressure {
            warn!(?lag, pressure = step, "the processor does not keep up");
        } else if pressure < before {
            info!(?lag, pressure = step, "the processor keeps up better");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::super::stage_tests::Stage;
    use super::*;
    use crate::gate::Admission;
    use crate::hub::EndReason;

    /// Comes to what is due only every so often.
    async fn starve(length: Duration, pause: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            time::advance(pause).await;
            // The others, whose timers have rung, get their turn.
            yield_now().await;
        }
    }

    /// W9 and F26: while the process comes too late to everything newcomers are turned away, and a
    /// while after it no longer does they are welcome; with the last broadcast it is forgotten.
    #[tokio::test(start_paused = true)]
    async fn a_starved_process_turns_newcomers_away() {
        let stage = Stage::new();
        let (registry, metrics) = (stage.registry.clone(), stage.metrics.clone());
        let limits = Limits::default();
        let watch = LagWatch::new(registry.clone(), stage.clock.clone(), metrics.clone(), &limits);
        stage.tasks.spawn(watch.run(stage.stop.clone()));
        let second = Duration::from_secs(1);
        starve(second * 10, second).await;
        assert_eq!(registry.pressure().get(), Pressure::None, "there is no publisher");

        let mut encoder = stage.encoder("studio", Admission::Start).await;
        encoder.run(10_000).await;
        assert_eq!(registry.pressure().get(), Pressure::None);
        starve(second * 10, limits.lag_max / 2 + 2 * LOOK).await;
        assert_eq!(registry.pressure().get(), Pressure::NoNewViewers);
        starve(second * 20, second).await;
        assert_eq!(registry.pressure().get(), Pressure::NoNewBroadcasts);
        assert_eq!((metrics.processor_pressure.get(), metrics.memory_pressure.get()), (3, 0));
        assert!(400_000 < metrics.lag_micros.get(), "{}", metrics.lag_micros.get());

        time::sleep(second * 10).await;
        assert_eq!(registry.pressure().get(), Pressure::None);
        assert_eq!(metrics.processor_pressure.get(), 0);

        starve(second * 20, second).await;
        encoder.finish(EndReason::Finished);
        time::sleep(second * 2).await;
        assert_eq!((registry.pressure().get(), metrics.lag_micros.get()), (Pressure::None, 0));
    }
}
