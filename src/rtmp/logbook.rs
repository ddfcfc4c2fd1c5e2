//! One line for each connection that ends, and no more lines than somebody can read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::conn::{Ended, Peer};
use super::handshake::HandshakeError;
use super::metrics::Reached;
use super::status::Cause;
use crate::base::{Blame, MonoTime, household};

/// Lines about connections that never published, in one second. Refusals themselves have no such
/// bound: a storm of them is answered, counted, and told in these few lines.
const LINES_PER_SECOND_MAX: u32 = 10;
/// Who speaks another protocol, RTMPE or HTTP, tries again and again: one line a minute tells all.
const STRANGER_SPAN: Duration = Duration::from_secs(60);
/// Strangers remembered at once; those beyond are counted and not told.
const STRANGERS_MAX: usize = 1_000;

/// Writes the last line of connections.
#[derive(Debug, Default)]
pub(super) struct Logbook {
    second: Mutex<Second>,
    /// When each address was last told of.
    strangers: Mutex<HashMap<IpAddr, MonoTime>>,
}

#[derive(Debug, Default)]
struct Second {
    since: MonoTime,
    lines: u32,
    swallowed: u64,
}

impl Logbook {
    pub(super) fn note_end(&self, peer: Peer, ended: &Ended, lasted: Duration, now: MonoTime) {
        if ended.reached == Reached::Hall && ended.cause == Cause::Left {
            // Probes of balancers and monitors come all day.
            return tracing::debug!(peer = %peer.address, "closed without a word");
        }
        let strange = matches!(ended.cause, Cause::Handshake(HandshakeError::Version(_)));
        if strange && !self.admit_stranger(peer.address.ip(), now) {
            return;
        }
        let swallowed = match ended.reached {
            Reached::Publishing => Some(0),
            Reached::Door | Reached::Hall => self.admit_line(now),
        };
        let Some(swallowed) = swallowed else {
            if strange {
                self.forget_stranger(peer.address.ip());
            }
            return;
        };
        if swallowed > 0 {
            tracing::warn!(swallowed, "more refused connections than are told one by one");
        }
        let (reason, blame) = (ended.cause.as_str(), ended.cause.blame());
        let (peer, seconds) = (peer.address, lasted.as_secs_f64());
        let text = ended.cause.to_string();
        match blame {
            Blame::Peer | Blame::Policy | Blame::Upstream => {
                tracing::info!(%peer, reason, %blame, seconds, text, "connection ended");
            }
            Blame::Us => tracing::error!(%peer, reason, %blame, seconds, text, "connection ended"),
        }
    }

    /// Whether an address that speaks another protocol is told of now.
    fn admit_stranger(&self, address: IpAddr, now: MonoTime) -> bool {
        let mut strangers = lock(&self.strangers);
        if strangers.len() >= STRANGERS_MAX {
            strangers.retain(|_, told| now.since(*told) < STRANGER_SPAN);
        }
        let address = household(address);
        let told = strangers.get(&address);
        let due = told.is_none_or(|told| now.since(*told) >= STRANGER_SPAN);
        if due && (told.is_some() || strangers.len() < STRANGERS_MAX) {
            strangers.insert(address, now);
            return true;
        }
        false
    }

    /// Its line was left out after all, so the next one is due.
    fn forget_stranger(&self, address: IpAddr) {
        lock(&self.strangers).remove(&household(address));
    }

    /// How many lines were left out before this one; `None`: this one is left out too.
    fn admit_line(&self, now: MonoTime) -> Option<u64> {
        let mut second = lock(&self.second);
        if now.since(second.since) >= Duration::from_secs(1) {
            (second.since, second.lines) = (now, 0);
        }
        if second.lines >= LINES_PER_SECOND_MAX {
            second.swallowed += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.swallowed))
    }
}

/// Nothing under these locks can panic half-way.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ConnId;
    use crate::testing::log::Log;

    /// A peer from this address ends with another version byte.
    fn note_stranger(book: &Logbook, address: &str, second: u64) {
        let peer = Peer { id: ConnId(1), address: address.parse().unwrap() };
        let cause = Cause::Handshake(HandshakeError::Version(6));
        let ended = Ended { cause, reached: Reached::Hall };
        let now = MonoTime::from_start(Duration::from_secs(second));
        book.note_end(peer, &ended, Duration::ZERO, now);
    }

    // R1: other version bytes are told once a minute and address.
    #[test]
    fn a_stranger_is_told_of_once_a_minute() {
        let (book, log) = (Logbook::default(), Log::listen());
        let try_at = |address: &str, second| note_stranger(&book, address, second);
        for second in 100..160 {
            try_at(&format!("192.0.2.1:{second}"), second);
        }
        assert_eq!(log.count("0x06"), 1, "{}", log.text());
        try_at("192.0.2.2:1", 159);
        assert_eq!(log.count("0x06"), 2);
        try_at("192.0.2.1:1", 160);
        assert_eq!(log.count("0x06"), 3);
    }

    // R1, G19: a line left out in a storm is made up for by the next try, not a minute later.
    #[test]
    fn a_stranger_left_out_was_not_told_of() {
        let (book, log) = (Logbook::default(), Log::listen());
        let now = MonoTime::from_start(Duration::from_secs(100));
        while book.admit_line(now).is_some() {}
        note_stranger(&book, "192.0.2.1:1", 100);
        assert_eq!(log.count("0x06"), 0, "{}", log.text());
        note_stranger(&book, "192.0.2.1:2", 101);
        assert_eq!(log.count("0x06"), 1, "{}", log.text());
        note_stranger(&book, "192.0.2.1:3", 102);
        assert_eq!(log.count("0x06"), 1, "{}", log.text());
    }

    #[test]
    fn strangers_are_remembered_within_a_bound() {
        let book = Logbook::default();
        let at = |second| MonoTime::from_start(Duration::from_secs(second));
        let address = |n: u16| IpAddr::from([198, 18, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        let told = (0..5_000).filter(|&n| book.admit_stranger(address(n), at(100))).count();
        assert_eq!((told, lock(&book.strangers).len()), (STRANGERS_MAX, STRANGERS_MAX));
        assert!(book.admit_stranger(address(4_999), at(160)), "the old ones are forgotten");
        assert_eq!(lock(&book.strangers).len(), 1);
    }

    // G19: a storm of refusals is told in few lines.
    #[test]
    fn a_storm_is_told_in_few_lines() {
        let book = Logbook::default();
        let at = |millis| MonoTime::from_start(Duration::from_millis(millis));
        let told = (0..1_000).filter(|&i| book.admit_line(at(5_000 + i / 2)).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(book.admit_line(at(6_000)), Some(990));
        assert_eq!(book.admit_line(at(6_001)), Some(0));
    }
}
