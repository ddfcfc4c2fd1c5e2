use std::sync::Arc;

use super::{
    Admission, Change, ClockFault, Closed, Edge, Latch, Operation, Phase, Reached, Refusal,
    Schedule, StartPermit, Turn,
};
use crate::base::{ChannelId, WallTime};

/// Everything the gate knows, as one value without a clock: the schedule, the latch, and what the
/// machine says of itself. The shell replaces the whole value when one of them changes.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    schedule: Option<Arc<Schedule>>,
    latch: Latch,
    built: Option<WallTime>,
    draining: bool,
    /// The times are played, not real: the latch and the machine's clock are not asked.
    rehearsal: bool,
    /// Every recorded change of the schedule, oldest first, for the status document.
    history: Arc<[Change]>,
    /// Under which version of the zone rules the instants were computed (G4).
    tz_database: Option<Arc<str>>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `until` is the instant at which what was allowed must end; for a broadcast that is the end
    /// of all broadcasts, not the closing of new ones.
    Allow {
        until: Option<WallTime>,
    },
    Refuse(Refusal),
}

impl Policy {
    /// A real server's policy. No schedule means that no end is declared.
    pub fn new(schedule: Option<Schedule>, latch: Latch) -> Self {
        Self { schedule: schedule.map(Arc::new), latch, ..Self::default() }
    }

    /// The policy of a rehearsal, whose times are played: it remembers nothing.
    pub fn rehearsal(schedule: Option<Schedule>) -> Self {
        Self { schedule: schedule.map(Arc::new), rehearsal: true, ..Self::default() }
    }

    /// A clock that reads less than `built` is not believed (see [`super::build_time`]).
    pub fn built_at(self, built: Option<WallTime>) -> Self {
        Self { built, ..self }
    }

    /// The same policy on a node that is about to stop.
    pub fn draining(self) -> Self {
        Self { draining: true, ..self }
    }

    /// The same policy with another schedule.
    pub fn with_schedule(self, schedule: Option<Schedule>) -> Self {
        Self { schedule: schedule.map(Arc::new), ..self }
    }

    /// The same policy with another memory.
    pub fn with_latch(self, latch: Latch) -> Self {
        Self { latch, ..self }
    }

    /// The same policy telling another history.
    pub fn with_history(self, history: Arc<[Change]>) -> Self {
        Self { history, ..self }
    }

    /// The same policy, whose instants were computed under this version of the zone rules.
    pub fn with_tz_database(self, tz_database: Option<Arc<str>>) -> Self {
        Self { tz_database, ..self }
    }

    /// The decision: every verdict of the server comes from here. Half-open to the millisecond:
    /// allowed before the instant, refused at it.
    pub fn decide(&self, operation: Operation, now: WallTime) -> Verdict {
        if let Some(since) = self.closed_since(operation, now) {
            let closed = self.closed(operation, since, now);
            if let Some(refusal) = Refusal::closed(closed) {
                return Verdict::Refuse(refusal);
            }
        }
        if operation.needs_clock()
            && let Some(fault) = self.clock_fault(now)
        {
            return Verdict::Refuse(Refusal::ClockUntrusted(fault));
        }
        if operation.takes_publisher() && self.draining {
            return Verdict::Refuse(Refusal::NodeDraining);
        }
        Verdict::Allow { until: self.allowed_until(operation) }
    }

    /// [`Policy::decide`] for a publisher at the door; the yes can be held.
    pub fn admit(
        &self,
        channel: &ChannelId,
        admission: Admission,
        now: WallTime,
    ) -> Result<StartPermit, Refusal> {
        match self.decide(admission.into(), now) {
            Verdict::Allow { until } => Ok(StartPermit::new(channel.clone(), admission, until)),
            Verdict::Refuse(refusal) => Err(refusal),
        }
    }

    /// Where the service stands.
    pub fn phase(&self, now: WallTime) -> Phase {
        let time = self.time(now);
        let by_date = self.schedule().into_iter().flat_map(Schedule::edges);
        let by_date = by_date.filter(|edge| edge.at <= time).map(|edge| edge.turn);
        let latched = self.latch.reached.map(|reached| reached.turn);
        by_date.chain(latched).filter_map(Turn::begins).max().unwrap_or(Phase::Open)
    }

    /// The next instant at which any verdict changes.
    pub fn next_edge(&self, now: WallTime) -> Option<Edge> {
        self.schedule()?.edges().find(|edge| !self.has_passed(edge.turn, now))
    }

    /// The instant that ends `operation`, past or future; `None` for what is never refused and
    /// where no end is declared. What was closed before its date was closed then.
    pub fn closing_of(&self, operation: Operation) -> Option<WallTime> {
        let turn = operation.closes_at()?;
        let declared = self.schedule()?.at_or_after(turn)?.at;
        let latched = self.latch.reached.filter(|reached| turn <= reached.turn);
        Some(latched.map_or(declared, |reached| reached.at.min(declared)))
    }

    /// The latch as it must be stored before anybody hears of `now`'s verdicts; `None` when the
    /// stored one already says as much. A rehearsal stores nothing.
    pub fn latch_due(&self, now: WallTime) -> Option<Latch> {
        if self.rehearsal || self.clock_fault(now).is_some() {
            return None;
        }
        let time = self.latch.no_earlier(now);
        let passed = self.schedule()?.edges().filter(|edge| {
            Turn::PublishClose <= edge.turn && edge.at <= time && !self.latch.has_passed(edge.turn)
        });
        let edge = passed.last()?;
        Some(self.latch.advanced(Some(Reached { turn: edge.turn, at: edge.at }), now))
    }

    /// The latch once nothing is live any more after the closing: the service is read-only then,
    /// not only when `finish_until` comes. `None` where that does not apply. Whether a broadcast
    /// that was permitted before the closing may still begin is for the caller to know: permits
    /// expire by a clock that nobody sets.
    pub fn latch_empty(&self, now: WallTime) -> Option<Latch> {
        let unsure = self.rehearsal || self.clock_fault(now).is_some();
        if unsure || !self.is_start_closed(now) || self.has_passed(Turn::FinishUntil, now) {
            return None;
        }
        let reached = Reached { turn: Turn::FinishUntil, at: self.latch.no_earlier(now) };
        Some(self.latch.advanced(Some(reached), now))
    }

    /// Whether no broadcast may be begun any more.
    pub fn is_start_closed(&self, now: WallTime) -> bool {
        self.closed_since(Operation::Start, now).is_some()
    }

    /// The latch with its high-water mark at `now`; `None` when there is nothing to move.
    pub fn latch_at(&self, now: WallTime) -> Option<Latch> {
        if self.rehearsal || self.clock_fault(now).is_some() {
            return None;
        }
        self.latch_due(now)
            .or_else(|| Some(self.latch.advanced(None, now)).filter(|moved| *moved != self.latch))
    }

    /// Why the clock is not believed, where a schedule makes that matter.
    pub fn clock_fault(&self, now: WallTime) -> Option<ClockFault> {
        let matters = !self.rehearsal && (self.schedule.is_some() || self.latch.reached.is_some());
        matters.then(|| self.latch.doubt(self.built, now)).flatten()
    }

    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_deref()
    }

    pub fn latch(&self) -> &Latch {
        &self.latch
    }

    /// Whether the times are played.
    pub fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    pub fn tz_database(&self) -> Option<&str> {
        self.tz_database.as_deref()
    }

    pub fn history(&self) -> &[Change] {
        &self.history
    }

    /// Whether `turn`, or any later one, was ever passed. A turn that the schedule skips is
    /// passed together with the next later one.
    pub(super) fn has_passed(&self, turn: Turn, now: WallTime) -> bool {
        let time = self.time(now);
        let by_date = self.schedule().and_then(|schedule| schedule.at_or_after(turn));
        self.latch.has_passed(turn) || by_date.is_some_and(|edge| edge.at <= time)
    }

    fn time(&self, now: WallTime) -> WallTime {
        if self.rehearsal { now } else { self.latch.no_earlier(now) }
    }

    fn closed_since(&self, operation: Operation, now: WallTime) -> Option<WallTime> {
        let turn = operation.closes_at()?;
        if !self.has_passed(turn, now) {
            return None;
        }
        let declared = self.closing_of(operation).filter(|&at| at <= self.time(now));
        declared.or_else(|| self.latch.reached.map(|reached| reached.at))
    }

    fn closed(&self, operation: Operation, since: WallTime, now: WallTime) -> Closed {
        let phase = self.phase(now);
        let possible = |operation: &Operation| self.closed_since(*operation, now).is_none();
        Closed {
            operation,
            phase,
            since,
            now,
            still_possible: Operation::ALL.into_iter().filter(possible).collect(),
            info: self.schedule().and_then(|schedule| schedule.info_url().cloned()),
            revocable: phase < Phase::ReadOnly || self.rehearsal,
        }
    }

    fn allowed_until(&self, operation: Operation) -> Option<WallTime> {
        match operation {
            Operation::Start => self.schedule().map(Schedule::broadcasts_end),
            Operation::CreateChannel
            | Operation::CreateKey
            | Operation::RotateKey
            | Operation::RevokeKey
            | Operation::Resume
            | Operation::Keep
            | Operation::WatchLive
            | Operation::ReadStatus => self.closing_of(operation),
        }
    }
}
