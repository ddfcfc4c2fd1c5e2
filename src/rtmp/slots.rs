//! How many connections there may be: in all, from one address, and new ones in a second.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::status::Cause;
use crate::base::{Counts, Limits, MonoTime, household};

/// Counts the connections of all listeners.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    taken: Arc<Mutex<Taken>>,
    connections_max: usize,
    per_address_max: usize,
    per_second_max: u32,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: Counts<IpAddr>,
    second: MonoTime,
    this_second: u32,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            taken: Arc::default(),
            connections_max: limits.rtmp_connections_max,
            per_address_max: limits.rtmp_connections_per_address_max,
            per_second_max: limits.rtmp_accepts_per_second_max,
        }
    }

    pub(super) fn take(&self, address: IpAddr, now: MonoTime) -> Result<Slot, Cause> {
        let address = household(address);
        let mut taken = lock(&self.taken);
        if now.since(taken.second) >= Duration::from_secs(1) {
            (taken.second, taken.this_second) = (now, 0);
        }
        if taken.this_second >= self.per_second_max {
            return Err(Cause::AcceptRate);
        }
        if taken.all >= self.connections_max {
            return Err(Cause::ConnectionsFull);
        }
        if taken.by_address.of(&address) >= self.per_address_max {
            return Err(Cause::AddressFull);
        }
        taken.this_second += 1;
        taken.all += 1;
        taken.by_address.add(address);
        Ok(Slot { taken: self.taken.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        taken.by_address.remove(&self.address);
    }
}

/// Nothing under the lock can panic half-way.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limits() -> Limits {
        Limits {
            rtmp_connections_max: 5,
            rtmp_connections_per_address_max: 2,
            rtmp_accepts_per_second_max: 100,
            ..Limits::default()
        }
    }

    // R41: connections have a ceiling in all and for one address.
    #[test]
    fn in_all_and_from_one_address() {
        let slots = Slots::new(&limits());
        let take = |text: &str| slots.take(address(text), MonoTime::ZERO);
        let first = take("192.0.2.1").unwrap();
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert_eq!(take("192.0.2.1").unwrap_err(), Cause::AddressFull);
        drop(first);
        let _third = take("192.0.2.1").unwrap();
        let _six = [take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert_eq!(take("2001:db8::3").unwrap_err(), Cause::AddressFull);
        let _last = take("192.0.2.9").unwrap();
        assert_eq!(take("192.0.2.10").unwrap_err(), Cause::ConnectionsFull);
    }

    // R41: so many are accepted in a second and no more.
    #[test]
    fn new_ones_in_a_second() {
        let slots = Slots::new(&Limits { rtmp_accepts_per_second_max: 3, ..limits() });
        let at = |millis| MonoTime::from_start(Duration::from_millis(millis));
        for _ in 0..3 {
            drop(slots.take(address("192.0.2.1"), at(5_000)).unwrap());
        }
        assert_eq!(slots.take(address("192.0.2.2"), at(5_999)).unwrap_err(), Cause::AcceptRate);
        slots.take(address("192.0.2.2"), at(6_000)).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let slots = Slots::new(&limits());
        for host in 0..50_u8 {
            drop(slots.take(address(&format!("192.0.2.{host}")), MonoTime::ZERO).unwrap());
        }
        let taken = lock(&slots.taken);
        assert_eq!((taken.all, taken.by_address.keys()), (0, 0));
    }
}
