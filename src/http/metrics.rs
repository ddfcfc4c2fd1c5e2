use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::route::RouteClass;
use super::watchdog::Close;

/// What the room counts. Labels come from closed sets only: no channel, no address, no path.
/// Cloning shares it.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// One counter for each class of routes and of answers, looked up by place on the hot path.
    answers: [[Counter; STATUS_CLASSES.len()]; RouteClass::ALL.len()],
    bytes_out: Counter,
    held: Gauge,
    connections: Gauge,
    refused: Family<RefusedLabels, Counter>,
    closed: Family<ClosedLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    reason: &'static str,
}

const STATUS_CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Makes the counters and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let answers = Family::<AnswerLabels, Counter>::default();
        let counters = Counters {
            answers: RouteClass::ALL.map(|class| {
                STATUS_CLASSES.map(|status| {
                    let labels = AnswerLabels { route: class.as_str(), status };
                    answers.get_or_create(&labels).clone()
                })
            }),
            bytes_out: Counter::default(),
            held: Gauge::default(),
            connections: Gauge::default(),
            refused: Family::default(),
            closed: Family::default(),
        };
        registry.register("http_answers", "Requests answered", answers);
        registry.register(
            "http_body_bytes",
            "Bytes of bodies given to connections",
            counters.bytes_out.clone(),
        );
        registry.register(
            "http_held_requests",
            "Requests held for media to come",
            counters.held.clone(),
        );
        registry.register(
            "http_connections",
            "Connections of viewers",
            counters.connections.clone(),
        );
        registry.register(
            "http_connections_refused",
            "Connections closed before they were served",
            counters.refused.clone(),
        );
        registry.register(
            "http_connections_closed",
            "Connections that a limit ended",
            counters.closed.clone(),
        );
        Self(Arc::new(counters))
    }

    pub(super) fn count_answer(&self, class: RouteClass, status: hyper::StatusCode) {
        let place = match status.as_u16() {
            0..=299 => 0,
            300..=399 => 1,
            400..=499 => 2,
            _ => 3,
        };
        let row = self.0.answers.get(class.index()).expect("a row for each class");
        row.get(place).expect("a place for each status class").inc();
    }

    /// A connection, for as long as the value lives.
    pub(super) fn count_connection(&self) -> Counted {
        Counted::new(&self.0.connections)
    }

    /// A held request, for as long as the value lives.
    pub(super) fn count_held(&self) -> Counted {
        Counted::new(&self.0.held)
    }

    /// Requests held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> i64 {
        self.0.held.get()
    }

    /// Bytes of bodies so far.
    #[cfg(test)]
    pub(super) fn body_bytes(&self) -> u64 {
        self.0.bytes_out.get()
    }

    /// Connections now.
    #[cfg(test)]
    pub(super) fn connections(&self) -> i64 {
        self.0.connections.get()
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    pub(super) fn count_closed(&self, reason: Close) {
        self.0.closed.get_or_create(&ClosedLabels { reason: reason.as_str() }).inc();
    }

    pub(super) fn bytes_out(&self) -> BytesOut {
        BytesOut(self.0.bytes_out.clone())
    }
}

/// Counts body bytes where they leave.
#[derive(Clone, Debug)]
pub(super) struct BytesOut(Counter);

impl BytesOut {
    pub(super) fn add(&self, bytes: u64) {
        self.0.inc_by(bytes);
    }
}

/// One more while it lives.
#[derive(Debug)]
pub(super) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
