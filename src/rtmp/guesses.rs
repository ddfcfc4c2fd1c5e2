//! Wrong keys, counted by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::{Limits, MonoTime, household};

const SPAN: Duration = Duration::from_secs(60);

/// Remembers who guessed how often. Bounded: when too many addresses guess at once, the one that
/// has been silent longest is forgotten.
#[derive(Debug)]
pub(super) struct Guesses {
    addresses: HashMap<IpAddr, Guesser>,
    addresses_max: usize,
    per_minute_max: u32,
    pause: Duration,
}

#[derive(Debug)]
struct Guesser {
    since: MonoTime,
    count: u32,
    paused_until: Option<MonoTime>,
}

impl Guesses {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            addresses: HashMap::new(),
            addresses_max: limits.key_guess_addresses_max,
            per_minute_max: limits.key_guesses_per_minute_max,
            pause: limits.key_guess_pause,
        }
    }

    /// Whether this address may show a key now.
    pub(super) fn may_try(&self, address: IpAddr, now: MonoTime) -> bool {
        let known = self.addresses.get(&household(address));
        let paused_until = known.and_then(|guesser| guesser.paused_until);
        paused_until.is_none_or(|until| until <= now)
    }

    /// Counts one wrong key.
    pub(super) fn note_wrong(&mut self, address: IpAddr, now: MonoTime) {
        let address = household(address);
        if !self.addresses.contains_key(&address) {
            self.make_room(now);
        }
        let fresh = || Guesser { since: now, count: 0, paused_until: None };
        let guesser = self.addresses.entry(address).or_insert_with(fresh);
        if now.since(guesser.since) >= SPAN {
            *guesser = fresh();
        }
        guesser.count += 1;
        if guesser.count >= self.per_minute_max {
            guesser.paused_until = Some(now + self.pause);
        }
    }

    fn make_room(&mut self, now: MonoTime) {
        if self.addresses.len() < self.addresses_max {
            return;
        }
        self.addresses.retain(|_, guesser| match guesser.paused_until {
            Some(until) => now < until,
            None => now.since(guesser.since) < SPAN,
        });
        if self.addresses.len() >= self.addresses_max
            && let Some(oldest) = self.addresses.iter().min_by_key(|(_, guesser)| guesser.since)
        {
            let oldest = *oldest.0;
            self.addresses.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_secs(seconds))
    }

    // R42: ten wrong keys in a minute close an address for ten minutes.
    #[test]
    fn ten_wrong_keys_in_a_minute_cost_ten_minutes() {
        let mut guesses = Guesses::new(&Limits::default());
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for second in 0..9 {
            guesses.note_wrong(guesser, at(second));
        }
        assert!(guesses.may_try(guesser, at(9)));
        guesses.note_wrong(guesser, at(10));
        assert!(!guesses.may_try(guesser, at(10)));
        assert!(!guesses.may_try(address("::ffff:192.0.2.1"), at(10)));
        assert!(guesses.may_try(other, at(10)));
        assert!(!guesses.may_try(guesser, at(609)));
        assert!(guesses.may_try(guesser, at(610)));
        guesses.note_wrong(guesser, at(611));
        assert!(guesses.may_try(guesser, at(611)));
    }

    #[test]
    fn slow_mistakes_are_forgiven() {
        let mut guesses = Guesses::new(&Limits::default());
        for minute in 0..100 {
            guesses.note_wrong(address("192.0.2.1"), at(minute * 10));
            assert!(guesses.may_try(address("192.0.2.1"), at(minute * 10)));
        }
    }

    #[test]
    fn one_customer_has_a_whole_64() {
        let mut guesses = Guesses::new(&Limits::default());
        for host in 0..10 {
            guesses.note_wrong(address(&format!("2001:db8::{host:x}")), at(0));
        }
        assert!(!guesses.may_try(address("2001:db8::ffff"), at(1)));
        assert!(guesses.may_try(address("2001:db8:0:1::1"), at(1)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let limits = Limits { key_guess_addresses_max: 100, ..Limits::default() };
        let mut guesses = Guesses::new(&limits);
        for host in 0..1_000_u64 {
            let low = u16::try_from(host).unwrap();
            guesses.note_wrong(address(&format!("2001:db8:0:{low:x}::1")), at(host / 100));
            assert!(guesses.addresses.len() <= 100);
        }
    }
}
