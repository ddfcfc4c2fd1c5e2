//! What is counted about the ingest. Labels come from enums, never from what a peer sent; only a
//! publisher that was let in is named, by its channel, for as long as it is there.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::status::Cause;
use crate::base::{ChannelId, ConnId};
use crate::media::TrackKind;

/// The counters of all RTMP connections. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) connections: Gauge,
    pub(super) publishers: Gauge,
    received_bytes: Counter,
    wrong_keys: Counter,
    takeovers: Counter,
    publisher_bytes: Family<PublisherLabel, Counter>,
    frames: Family<TrackLabel, Counter>,
    slowed: Family<SlowedLabel, Counter>,
    ended: Family<EndLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PublisherLabel {
    channel: String,
    conn: u64,
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
        // Tasks share their threads, so the processor time of one publisher cannot be told.
        let help = "Bytes received from each publisher while it is there";
        rtmp.register("publisher_received_bytes", help, self.publisher_bytes.clone());
        rtmp.register("wrong_keys", "Unknown stream keys shown", self.wrong_keys.clone());
        rtmp.register(
            "takeovers",
            "Live publishers replaced by their own key",
            self.takeovers.clone(),
        );
        rtmp.register("frames", "Frames taken into broadcasts", self.frames.clone());
        rtmp.register("slowed", "Pauses in reading, by rule", self.slowed.clone());
        rtmp.register("connections_ended", "Ended connections by reason", self.ended.clone());
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.received_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Counts for one accepted publisher until the value goes, and its line with it (R50).
    pub(super) fn of_publisher(&self, channel: &ChannelId, conn: ConnId) -> PublisherBytes {
        let label = PublisherLabel { channel: channel.to_string(), conn: conn.0 };
        let counter = self.publisher_bytes.get_or_create(&label).clone();
        PublisherBytes { family: self.publisher_bytes.clone(), label, counter }
    }

    pub(super) fn count_wrong_key(&self) {
        self.wrong_keys.inc();
    }

    pub(super) fn count_takeover(&self) {
        self.takeovers.inc();
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

/// The bytes of one publisher.
#[derive(Debug)]
pub(super) struct PublisherBytes {
    family: Family<PublisherLabel, Counter>,
    label: PublisherLabel,
    counter: Counter,
}

impl PublisherBytes {
    pub(super) fn add(&self, bytes: usize) {
        self.counter.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Drop for PublisherBytes {
    fn drop(&mut self) {
        self.family.remove(&self.label);
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    /// R50: a publisher is named while it is there and no longer; two of one channel, in a
    /// takeover, are told apart.
    #[test]
    fn a_publisher_has_a_line_while_it_is_there() {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let channel = ChannelId::parse("studio").unwrap();
        let [old, new] = [1, 2].map(|conn| metrics.of_publisher(&channel, ConnId(conn)));
        old.add(70);
        new.add(5);
        let lines = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().filter(|line| line.contains("studio")).count()
        };
        assert_eq!(lines(), 2);
        drop(old);
        new.add(5);
        assert_eq!((lines(), new.counter.get()), (1, 10));
        drop(new);
        assert_eq!(lines(), 0);
    }
}
