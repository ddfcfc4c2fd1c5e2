//! One line for each connection that ends, and no more lines than somebody can read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::conn::{Ended, Peer};
use super::metrics::Reached;
use super::status::Cause;
use crate::base::{Blame, MonoTime};

/// Lines about connections that never published, in one second. Refusals themselves have no such
/// bound: a storm of them is answered, counted, and told in these few lines.
const LINES_PER_SECOND_MAX: u32 = 10;

/// Writes the last line of connections.
#[derive(Debug, Default)]
pub(super) struct Logbook {
    second: Mutex<Second>,
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
        let swallowed = match ended.reached {
            Reached::Publishing => Some(0),
            Reached::Door | Reached::Hall => self.admit_line(now),
        };
        let Some(swallowed) = swallowed else { return };
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

    /// How many lines were left out before this one; `None`: this one is left out too.
    fn admit_line(&self, now: MonoTime) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;

    // G19
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
