use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What this room counts. Cloning shares the numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) segments: Counter,
    pub(super) parts: Counter,
    pub(super) gap_parts: Counter,
    pub(super) gap_segments: Counter,
    pub(super) missed_frames: Counter,
    pub(super) faults: Counter,
    pub(super) renditions: Gauge,
    pub(super) window_bytes: Gauge,
    pub(super) memory_pressure: Gauge,
    pub(super) processor_pressure: Gauge,
    pub(super) lag_micros: Gauge,
}

impl Metrics {
    /// Makes the numbers and shows them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let made = metrics.clone();
        registry.register("live_segments", "Whole segments listed", made.segments);
        registry.register("live_parts", "Parts listed, missing ones included", made.parts);
        registry.register("live_gap_parts", "Parts of missing media listed", made.gap_parts);
        let help = "Segments of missing media listed, in long gaps without their parts";
        registry.register("live_gap_segments", help, made.gap_segments);
        let help = "Frames a packager was too slow to read";
        registry.register("live_missed_frames", help, made.missed_frames);
        registry.register("live_faults", "Packagers that died of a defect", made.faults);
        registry.register(
            "live_renditions",
            "Renditions held, ended ones included",
            made.renditions,
        );
        registry.register("live_window_bytes", "Media held for viewers", made.window_bytes);
        let help = "Steps of the ladder taken while memory runs out: 1 plain playlists for new \
                    viewers, 2 no new viewers, 3 no new broadcasts";
        registry.register("live_memory_pressure", help, made.memory_pressure);
        let help = "The same steps, taken while the process does not get to what is due in time";
        registry.register("live_processor_pressure", help, made.processor_pressure);
        let help = "How late the process comes to what is due, in microseconds, averaged over a \
                    second; 0 while nothing is live";
        registry.register("live_lag_micros", help, made.lag_micros);
        metrics
    }
}
