use std::sync::Arc;

use super::memory::{closing_entry, last_declared, latch_of, record_of, tz_version};
use crate::base::WallTime;
use crate::gate::{
    Change, ClockFault, Latch, Operation, Policy, Refusal, Schedule, ScheduleSettings, Verdict,
};
use crate::store::{GateEntry, GateEntryKind, Store, StoreError};

/// The gate as a command sees it, with the server running or not: the schedule of the command's
/// own configuration or, where it has none, the one that the server last recorded. `built` is
/// [`crate::gate::build_time`].
pub async fn recorded_policy(
    store: &dyn Store,
    schedule: Option<Schedule>,
    built: Option<WallTime>,
) -> Result<Policy, StoreError> {
    let schedule = match schedule {
        Some(schedule) => Some(schedule),
        None => declared_schedule(store).await?,
    };
    let latch = latch_of(&store.latch().await?);
    Ok(Policy::new(schedule, latch).built_at(built).with_tz_database(tz_version()))
}

/// Asks the gate on behalf of a command. A refusal by the schedule is remembered before it is
/// answered, as in the server.
pub async fn ask(
    store: &dyn Store,
    policy: &Policy,
    operation: Operation,
    now: WallTime,
) -> Result<Verdict, StoreError> {
    let verdict = policy.decide(operation, now);
    if matches!(verdict, Verdict::Refuse(_))
        && let Some(latch) = policy.latch_due(now)
    {
        let generation = store.latch().await?.generation;
        let entry = latch.reached.map(|reached| closing_entry(reached, now));
        store.save_latch(&record_of(&latch, generation), entry.as_ref()).await?;
    }
    Ok(verdict)
}

/// The schedule that the server of this store last ran under.
pub async fn declared_schedule(store: &dyn Store) -> Result<Option<Schedule>, StoreError> {
    let log = store.gate_log().await?;
    let settings = last_declared(&log).map(ScheduleSettings::parse_description);
    // What a server recorded was a schedule then; a zone may have left the database since.
    Ok(settings.and_then(|settings| Schedule::build(&settings).ok().flatten()))
}

/// Every recorded change of the gate, oldest first, as the status document shows it.
pub async fn history(store: &dyn Store) -> Result<Arc<[Change]>, StoreError> {
    let change = |(entry, _): &(GateEntry, [u8; 32])| Change {
        at: entry.at.to_string(),
        kind: entry.kind.as_str().to_owned(),
        text: entry.text.clone(),
    };
    Ok(store.gate_log().await?.iter().map(change).collect())
}

/// Why a closed gate stays closed.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    #[error(
        "the schedule itself closes new broadcasts since {since}; move sunset.publish_close_at \
         first, then reopen"
    )]
    Scheduled { since: WallTime },
    #[error("{0}; set it first")]
    Clock(ClockFault),
    #[error("the gate is not held closed; there is nothing to reopen")]
    NotHeld,
    #[error("a reason is needed: it is recorded and shown")]
    NoReason,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets go of the latch, by an operator's word, with a reason that everybody can read. A server
/// that runs on the same store hears of it within two seconds.
pub async fn reopen(
    store: &dyn Store,
    policy: &Policy,
    reason: &str,
    now: WallTime,
) -> Result<(), ReopenError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(ReopenError::NoReason);
    }
    let without_memory = policy.clone().with_latch(Latch::default());
    if let Some(fault) = without_memory.clock_fault(now) {
        return Err(ReopenError::Clock(fault));
    }
    if let Verdict::Refuse(Refusal::BroadcastsClosed(closed)) =
        without_memory.decide(Operation::Start, now)
    {
        return Err(ReopenError::Scheduled { since: closed.since });
    }
    if matches!(policy.decide(Operation::Start, now), Verdict::Allow { .. }) {
        return Err(ReopenError::NotHeld);
    }
    let entry = GateEntry { at: now, kind: GateEntryKind::Reopened, text: reason.to_owned() };
    store.reopen(&entry).await?;
    Ok(())
}
