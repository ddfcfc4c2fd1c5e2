use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{BroadcastId, WallTime};

/// Hands out broadcast numbers, each greater than all before, without asking a disk.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: AtomicU64,
}

impl Numbers {
    /// Continues after the greatest number in the records.
    pub(super) fn after(last: u64) -> Self {
        Self { last: AtomicU64::new(last) }
    }

    pub(super) fn next(&self, now: WallTime) -> BroadcastId {
        let wall = u64::try_from(now.unix_millis()).unwrap_or(0);
        let after = |last: u64| last.saturating_add(1).max(wall);
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)))
            .expect("the step always answers");
        BroadcastId::new(after(last))
    }
}
