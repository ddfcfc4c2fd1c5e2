use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::metrics::{Counted, Metrics};
use super::watchdog::Pulse;
use crate::base::{BroadcastId, Counts, Limits, Mutex};

/// Counts the requests that wait for media, and says no when one more would be too many: over
/// all, on one broadcast, for one address, on one connection (W4).
#[derive(Debug)]
pub(super) struct Holds {
    total_max: usize,
    per_broadcast_max: usize,
    per_address_max: usize,
    per_connection_max: usize,
    metrics: Metrics,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    total: usize,
    by_broadcast: Counts<BroadcastId>,
    by_address: Counts<IpAddr>,
}

/// Who holds a request: the address it counts for, if that is known, and its connection.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) address: Option<IpAddr>,
    pub(super) pulse: Arc<Pulse>,
}

/// One held request. Dropping it, also because the viewer left, gives its place back (W6).
#[derive(Debug)]
pub(super) struct Hold {
    table: Arc<Mutex<Table>>,
    broadcast: BroadcastId,
    holder: Holder,
    _counted: Counted,
}

impl Holds {
    pub(super) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            total_max: limits.blocked_requests_max,
            per_broadcast_max: limits.blocked_requests_per_broadcast_max,
            per_address_max: limits.blocked_requests_per_address_max,
            per_connection_max: limits.blocked_requests_per_connection_max,
            metrics,
            table: Arc::default(),
        }
    }

    /// A place for a request of `holder`; `None` when there is none.
    pub(super) fn take(&self, broadcast: BroadcastId, holder: Holder) -> Option<Hold> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let here = holder.pulse.held.load(Ordering::Relaxed);
        let of_address = holder.address.map_or(0, |address| table.by_address.of(&address));
        if self.total_max <= table.total
            || self.per_broadcast_max <= table.by_broadcast.of(&broadcast)
            || self.per_address_max <= of_address
            || self.per_connection_max <= here
        {
            return None;
        }
        table.total += 1;
        table.by_broadcast.add(broadcast);
        if let Some(address) = holder.address {
            table.by_address.add(address);
        }
        holder.pulse.held.fetch_add(1, Ordering::Relaxed);
        drop(table);
        let counted = self.metrics.count_held();
        Some(Hold { table: Arc::clone(&self.table), broadcast, holder, _counted: counted })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holder.pulse.held.fetch_sub(1, Ordering::Relaxed);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.total -= 1;
        table.by_broadcast.remove(&self.broadcast);
        if let Some(address) = &self.holder.address {
            table.by_address.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use prometheus_client::registry::Registry;
    use shuttle::thread;

    use super::*;
    use crate::testing::race::race;

    /// The smallest limits that let one request through, with `change` made to them.
    fn holds(change: impl FnOnce(&mut Limits)) -> Holds {
        let mut limits = Limits {
            blocked_requests_max: 9,
            blocked_requests_per_broadcast_max: 9,
            blocked_requests_per_address_max: 9,
            blocked_requests_per_connection_max: 9,
            ..Limits::default()
        };
        change(&mut limits);
        Holds::new(&limits, Metrics::new(&mut Registry::default()))
    }

    fn holder(address: &str) -> Holder {
        Holder { address: address.parse().ok(), pulse: Arc::default() }
    }

    /// W4: each of the four limits is reached alone, and a place comes back.
    #[test]
    fn holds_are_limited_four_ways() {
        let (one, other) = (BroadcastId::new(1), BroadcastId::new(2));
        let (here, there) = (holder("192.0.2.1"), holder("192.0.2.2"));
        let nearby = holder("192.0.2.1");

        let total = holds(|limits| limits.blocked_requests_max = 1);
        let held = total.take(one, here.clone()).unwrap();
        assert!(total.take(other, there.clone()).is_none());
        drop(held);
        total.take(other, there.clone()).unwrap();

        let broadcast = holds(|limits| limits.blocked_requests_per_broadcast_max = 1);
        let _held = broadcast.take(one, here.clone()).unwrap();
        assert!(broadcast.take(one, there.clone()).is_none());
        broadcast.take(other, there.clone()).unwrap();

        let address = holds(|limits| limits.blocked_requests_per_address_max = 1);
        let held = address.take(one, here.clone()).unwrap();
        assert!(address.take(other, nearby.clone()).is_none());
        address.take(one, there.clone()).unwrap();
        drop(held);
        let _all = [(); 3].map(|()| address.take(one, holder("unknown")).unwrap());
        address.take(other, nearby.clone()).unwrap();

        let connection = holds(|limits| limits.blocked_requests_per_connection_max = 1);
        let held = connection.take(one, there.clone()).unwrap();
        assert!(connection.take(other, there.clone()).is_none());
        connection.take(one, nearby).unwrap();
        drop(held);
        connection.take(other, there).unwrap();
    }

    /// X8: however takers and leavers meet, no limit is passed and every place comes back. The four
    /// are looked at and counted as one.
    #[test]
    fn holds_that_race_keep_the_limits() {
        let changes: [fn(&mut Limits); 4] = [
            |limits| limits.blocked_requests_max = 1,
            |limits| limits.blocked_requests_per_broadcast_max = 1,
            |limits| limits.blocked_requests_per_address_max = 1,
            |limits| limits.blocked_requests_per_connection_max = 1,
        ];
        for change in changes {
            race(500, move || {
                let holds = Arc::new(holds(change));
                let holder = holder("192.0.2.1");
                let inside = Arc::new(AtomicUsize::new(0));
                let takers = [(); 3].map(|()| {
                    let (holds, holder) = (Arc::clone(&holds), holder.clone());
                    let inside = Arc::clone(&inside);
                    thread::spawn(move || {
                        let held = holds.take(BroadcastId::new(1), holder);
                        if held.is_none() {
                            return false;
                        }
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one place");
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        true
                    })
                });
                let held = takers.map(|taker| taker.join().unwrap());
                assert!(held.contains(&true));
                assert_eq!(holds.metrics.held(), 0);
                assert_eq!(holder.pulse.held.load(Ordering::Relaxed), 0);
                let table = holds.table.lock().unwrap();
                assert_eq!((table.total, table.by_address.keys()), (0, 0));
            });
        }
    }

    /// W6: nothing remains of a hold that ended.
    #[test]
    fn the_gauge_returns_to_zero() {
        let holds = holds(|_| {});
        let holder = holder("192.0.2.1");
        let held: Vec<_> =
            (0..4).map(|n| holds.take(BroadcastId::new(n), holder.clone())).collect();
        assert_eq!(holds.metrics.held(), 4);
        drop(held);
        assert_eq!(holds.metrics.held(), 0);
        assert_eq!(holder.pulse.held.load(Ordering::Relaxed), 0);
        let table = holds.table.lock().unwrap();
        let keys = (table.by_broadcast.keys(), table.by_address.keys());
        assert_eq!((table.total, keys), (0, (0, 0)));
    }
}
