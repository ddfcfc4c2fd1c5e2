use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use crate::base::WallTime;
use crate::gate::{Latch, Reached, Turn};
use crate::store::{GateEntry, GateEntryKind, LatchRecord, ReachedRecord};

/// The newest description of a schedule in the log.
pub(super) fn last_declared(log: &[(GateEntry, [u8; 32])]) -> Option<&str> {
    let declared = |entry: &&GateEntry| entry.kind == GateEntryKind::Declared;
    log.iter().rev().map(|(entry, _)| entry).find(declared).map(|entry| entry.text.as_str())
}

/// A turn that this version does not know was written by a later one: closed is closed.
pub(super) fn latch_of(record: &LatchRecord) -> Latch {
    let reached = record.reached.as_ref().map(|reached| Reached {
        turn: Turn::parse(&reached.turn).unwrap_or(Turn::PublishClose),
        at: reached.at,
    });
    Latch { reached, high_water: record.high_water }
}

pub(super) fn record_of(latch: &Latch, generation: i64) -> LatchRecord {
    let reached = latch
        .reached
        .map(|reached| ReachedRecord { turn: reached.turn.as_str().to_owned(), at: reached.at });
    LatchRecord { reached, high_water: latch.high_water, generation }
}

/// What the public history says when the gate closes for good.
pub(super) fn closing_entry(reached: Reached, now: WallTime) -> GateEntry {
    let text = format!("{} = {}", reached.turn, reached.at);
    GateEntry { at: now, kind: GateEntryKind::Closed, text }
}

/// The version of the machine's time zone rules; instants computed under other rules may differ.
pub(super) fn tz_version() -> Option<Arc<str>> {
    let rules = File::open("/usr/share/zoneinfo/tzdata.zi").ok()?;
    let first = BufReader::new(rules).lines().next()?.ok()?;
    Some(first.strip_prefix("# version ")?.trim().into())
}
