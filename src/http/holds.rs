use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::{Counted, Metrics};
use super::watchdog::Pulse;
use crate::base::{BroadcastId, Limits};

/// Counts the requests that wait for media, and says no when one more would be too many: over
/// all, on one broadcast, on one connection (W4).
#[derive(Debug)]
pub(super) struct Holds {
    total_max: usize,
    per_broadcast_max: usize,
    per_connection_max: usize,
    metrics: Metrics,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    total: usize,
    by_broadcast: HashMap<BroadcastId, usize>,
}

/// One held request. Dropping it, also because the viewer left, gives its place back (W6).
#[derive(Debug)]
pub(super) struct Hold {
    table: Arc<Mutex<Table>>,
    broadcast: BroadcastId,
    pulse: Arc<Pulse>,
    _counted: Counted,
}

impl Holds {
    pub(super) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            total_max: limits.blocked_requests_max,
            per_broadcast_max: limits.blocked_requests_per_broadcast_max,
            per_connection_max: limits.blocked_requests_per_connection_max,
            metrics,
            table: Arc::default(),
        }
    }

    /// A place for a request of the connection behind `pulse`; `None` when there is none.
    pub(super) fn take(&self, broadcast: BroadcastId, pulse: &Arc<Pulse>) -> Option<Hold> {
        if self.per_connection_max <= pulse.held.load(Ordering::Relaxed) {
            return None;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if self.total_max <= table.total {
            return None;
        }
        let count = table.by_broadcast.entry(broadcast).or_insert(0);
        if self.per_broadcast_max <= *count {
            return None;
        }
        *count += 1;
        table.total += 1;
        drop(table);
        pulse.held.fetch_add(1, Ordering::Relaxed);
        Some(Hold {
            table: Arc::clone(&self.table),
            broadcast,
            pulse: Arc::clone(pulse),
            _counted: self.metrics.count_held(),
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pulse.held.fetch_sub(1, Ordering::Relaxed);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.total -= 1;
        if let Entry::Occupied(mut count) = table.by_broadcast.entry(self.broadcast) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn holds(total: usize, per_broadcast: usize, per_connection: usize) -> Holds {
        let limits = Limits {
            blocked_requests_max: total,
            blocked_requests_per_broadcast_max: per_broadcast,
            blocked_requests_per_connection_max: per_connection,
            ..Limits::default()
        };
        Holds::new(&limits, Metrics::new(&mut Registry::default()))
    }

    /// W4: each of the three limits is reached alone.
    #[test]
    fn holds_are_limited_three_ways() {
        let (one, other) = (BroadcastId::new(1), BroadcastId::new(2));
        let [here, there] = [(); 2].map(|()| Arc::new(Pulse::default()));

        let holds_total = holds(1, 9, 9);
        let held = holds_total.take(one, &here).unwrap();
        assert!(holds_total.take(other, &there).is_none());
        drop(held);
        holds_total.take(other, &there).unwrap();

        let holds_broadcast = holds(9, 1, 9);
        let _held = holds_broadcast.take(one, &here).unwrap();
        assert!(holds_broadcast.take(one, &there).is_none());
        holds_broadcast.take(other, &there).unwrap();

        let holds_connection = holds(9, 9, 2);
        let _second = holds_connection.take(one, &here).unwrap();
        assert!(holds_connection.take(other, &here).is_none());
        holds_connection.take(one, &there).unwrap();
    }

    /// W6: nothing remains of a hold that ended.
    #[test]
    fn the_gauge_returns_to_zero() {
        let holds = holds(9, 9, 9);
        let pulse = Arc::new(Pulse::default());
        let held: Vec<_> = (0..4).map(|n| holds.take(BroadcastId::new(n), &pulse)).collect();
        assert_eq!(holds.metrics.held(), 4);
        drop(held);
        assert_eq!(holds.metrics.held(), 0);
        assert_eq!(pulse.held.load(Ordering::Relaxed), 0);
        let table = holds.table.lock().unwrap();
        assert_eq!((table.total, table.by_broadcast.len()), (0, 0));
    }
}
