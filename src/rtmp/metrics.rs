//! What is counted about the ingest. Labels come from enums, never from what a peer sent.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::status::Cause;
use crate::media::TrackKind;

/// The counters of all RTMP connections. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) connections: Gauge,
    pub(super) publishers: Gauge,
    received_bytes: Counter,
    wrong_keys: Counter,
    frames: Family<TrackLabel, Counter>,
    slowed: Family<SlowedLabel, Counter>,
    ended: Family<EndLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrackLabel {
    track: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SlowedLabel {
    by: &'static str,
}

/// Which rule made us stop reading for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slowed {
    /// Bytes a second.
    Bytes,
    /// Media faster than it plays.
    Speed,
}

impl Slowed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Speed => "speed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    stage: &'static str,
    reason: &'static str,
    blame: &'static str,
}

/// How far a connection had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Closed without a handshake.
    Door,
    /// Never allowed to publish.
    Hall,
    Publishing,
}

impl Reached {
    fn as_str(self) -> &'static str {
        match self {
            Self::Door => "accept",
            Self::Hall => "before_publish",
            Self::Publishing => "publishing",
        }
    }
}

impl Metrics {
    /// Makes the counters known under `rtmp_`.
    pub fn register(&self, registry: &mut Registry) {
        let rtmp = registry.sub_registry_with_prefix("rtmp");
        rtmp.register("connections", "Open RTMP connections", self.connections.clone());
        rtmp.register("publishers", "Publications that were accepted", self.publishers.clone());
        rtmp.register("received_bytes", "Bytes received", self.received_bytes.clone());
        rtmp.register("wrong_keys", "Unknown stream keys shown", self.wrong_keys.clone());
        rtmp.register("frames", "Frames taken into broadcasts", self.frames.clone());
        rtmp.register("slowed", "Pauses in reading, by rule", self.slowed.clone());
        rtmp.register("connections_ended", "Ended connections by reason", self.ended.clone());
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.received_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn count_wrong_key(&self) {
        self.wrong_keys.inc();
    }

    pub(super) fn count_frame(&self, track: TrackKind) {
        self.frames.get_or_create(&TrackLabel { track: track.as_str() }).inc();
    }

    pub(super) fn count_slowed(&self, by: Slowed) {
        self.slowed.get_or_create(&SlowedLabel { by: by.as_str() }).inc();
    }

    pub(super) fn count_end(&self, reached: Reached, cause: &Cause) {
        let (stage, reason, blame) = (reached.as_str(), cause.as_str(), cause.blame().as_str());
        self.ended.get_or_create(&EndLabel { stage, reason, blame }).inc();
    }
}

/// A gauge that is one higher while this lives.
#[derive(Debug)]
pub(super) struct Raised(Gauge);

impl Raised {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}
