use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::client::Proxies;
use crate::base::{Counts, Limits, household};

/// Who holds the connections of all HTTP listeners, counted as a whole and for each address.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    total_max: usize,
    per_address_max: usize,
    /// Proxies speak for many viewers: only the whole counts for them.
    proxies: Proxies,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: Counts<IpAddr>,
}

/// Why there is no slot for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    Total,
    Address,
}

impl NoSlot {
    /// The metric label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "connections_max",
            Self::Address => "connections_per_address_max",
        }
    }
}

/// One connection's place; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    address: Option<IpAddr>,
}

impl Slots {
    pub(super) fn new(limits: &Limits, proxies: Proxies) -> Self {
        Self {
            total_max: limits.http_connections_max,
            per_address_max: limits.http_connections_per_address_max,
            proxies,
            taken: Arc::default(),
        }
    }

    /// Takes a place for a connection from `peer`; a pipe within the process has no address.
    pub(super) fn take(&self, peer: Option<IpAddr>) -> Result<Slot, NoSlot> {
        let address = peer.filter(|&peer| !self.proxies.trusts(peer)).map(household);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if self.total_max <= taken.total {
            return Err(NoSlot::Total);
        }
        if let Some(address) = address {
            if self.per_address_max <= taken.by_address.of(&address) {
                return Err(NoSlot::Address);
            }
            taken.by_address.add(address);
        }
        taken.total += 1;
        Ok(Slot { taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(address) = &self.address {
            taken.by_address.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_address: usize, trusted: &[&str]) -> Slots {
        let limits = Limits {
            http_connections_max: total,
            http_connections_per_address_max: per_address,
            ..Limits::default()
        };
        let trusted: Vec<IpAddr> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        Slots::new(&limits, Proxies::new(&trusted))
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// W4: the whole and each address have their ceiling, and a place comes back.
    #[test]
    fn places_run_out_and_come_back() {
        let slots = slots(3, 2, &[]);
        let first = slots.take(ip("192.0.2.1")).unwrap();
        let _second = slots.take(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(slots.take(ip("192.0.2.1")).unwrap_err(), NoSlot::Address);
        let _third = slots.take(None).unwrap();
        assert_eq!(slots.take(ip("192.0.2.9")).unwrap_err(), NoSlot::Total);
        drop(first);
        drop(slots.take(ip("192.0.2.1")).unwrap());
        assert_eq!(slots.taken.lock().unwrap().by_address.keys(), 1);
    }

    #[test]
    fn a_household_of_ipv6_is_one_address() {
        let slots = slots(9, 1, &[]);
        let _first = slots.take(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(slots.take(ip("2001:db8:1:2:ffff::9")).unwrap_err(), NoSlot::Address);
        slots.take(ip("2001:db8:1:3::1")).unwrap();
    }

    /// W16: its own address counts for nobody.
    #[test]
    fn a_trusted_proxy_speaks_for_many() {
        let slots = slots(9, 1, &["10.1.2.3"]);
        let _all: Vec<Slot> = (0..5).map(|_| slots.take(ip("10.1.2.3")).unwrap()).collect();
        let _other = slots.take(ip("10.1.2.4")).unwrap();
        assert_eq!(slots.take(ip("10.1.2.4")).unwrap_err(), NoSlot::Address);
    }

    /// It is the proxy that is trusted, not the household that its address lies in.
    #[test]
    fn a_proxy_of_ipv6_is_trusted_alone() {
        let slots = slots(9, 1, &["2001:db8:1:2::5"]);
        let _all: Vec<Slot> = (0..3).map(|_| slots.take(ip("2001:db8:1:2::5")).unwrap()).collect();
        let _other = slots.take(ip("2001:db8:1:2::6")).unwrap();
        assert_eq!(slots.take(ip("2001:db8:1:2::7")).unwrap_err(), NoSlot::Address);
    }
}
