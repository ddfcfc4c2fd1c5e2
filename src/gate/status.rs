use serde::Serialize;

use super::{Edge, Operation, Phase, Policy, Schedule, Turn};
use crate::base::WallTime;

/// The document at `/.well-known/sunset.json` and of `ghostlight sunset --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusDocument {
    pub server_time: String,
    /// The times are played: nothing here is really closed.
    pub simulated: bool,
    /// `false`: no end is declared.
    pub declared: bool,
    pub phase: Phase,
    /// The next instant at which anything changes.
    pub next_edge: Option<InstantStatus>,
    /// What happens to running broadcasts at the closing: `finish` or `cut`.
    pub policy: Option<&'static str>,
    /// The zone of every `local` below.
    pub time_zone: Option<String>,
    /// The version of the zone rules under which the instants were computed: under others they
    /// may differ.
    pub tz_database: Option<String>,
    /// Every instant of the schedule, in order.
    pub instants: Vec<InstantStatus>,
    pub operations: Vec<OperationStatus>,
    /// The closing is held by memory, whatever the schedule says: since when.
    pub latched_at: Option<String>,
    /// Why the clock is not believed.
    pub clock: Option<String>,
    pub info: Option<String>,
    /// Unkind things about the schedule, such as less than thirty days of notice.
    pub warnings: Vec<String>,
    /// Every change of the schedule, oldest first.
    pub history: Vec<Change>,
}

/// One instant of the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstantStatus {
    pub name: &'static str,
    /// RFC 3339 in UTC.
    pub at: String,
    /// The same in the operator's zone, with its offset and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The words of the configuration.
    pub declared_as: String,
    pub passed: bool,
}

/// One row of the table, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationStatus {
    pub operation: Operation,
    pub state: OperationState,
    /// `null`: never, or no end is declared.
    pub closes_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at_local: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    Allowed,
    /// Only what already runs.
    RunningOnly,
    Refused,
}

/// One recorded change: of the schedule, of the latch, or a reopening with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub at: String,
    pub kind: String,
    pub text: String,
}

impl Policy {
    /// Everything a client, a page or an operator may know about the end.
    pub fn status(&self, now: WallTime) -> StatusDocument {
        let schedule = self.schedule();
        let instant = |edge: Edge| schedule.map(|schedule| self.instant(schedule, edge, now));
        StatusDocument {
            server_time: now.to_string(),
            simulated: self.is_rehearsal(),
            declared: schedule.is_some(),
            phase: self.phase(now),
            next_edge: self.next_edge(now).and_then(instant),
            policy: schedule.map(|schedule| schedule.policy().as_str()),
            time_zone: schedule.and_then(Schedule::zone).map(|zone| zone.name().to_owned()),
            tz_database: self.tz_database().map(str::to_owned),
            instants: schedule.into_iter().flat_map(Schedule::edges).filter_map(instant).collect(),
            operations: Operation::ALL.map(|op| self.operation(op, now)).to_vec(),
            latched_at: self.latch().reached.map(|reached| reached.at.to_string()),
            clock: self.clock_fault(now).map(|fault| fault.to_string()),
            info: schedule.and_then(Schedule::info_url).map(ToString::to_string),
            warnings: schedule
                .into_iter()
                .flat_map(Schedule::warnings)
                .map(|warning| warning.to_string())
                .collect(),
            history: self.history().to_vec(),
        }
    }

    /// Where an operation stands by the schedule; draining and a wrong clock are of this machine
    /// and of today, not of the schedule.
    pub fn state_of(&self, operation: Operation, now: WallTime) -> OperationState {
        let closed = |turn: Option<Turn>| turn.is_some_and(|turn| self.has_passed(turn, now));
        if closed(operation.closes_at()) {
            OperationState::Refused
        } else if closed(operation.narrows_at()) {
            OperationState::RunningOnly
        } else {
            OperationState::Allowed
        }
    }

    fn instant(&self, schedule: &Schedule, edge: Edge, now: WallTime) -> InstantStatus {
        let declared = schedule.declared(edge.turn).map(|declared| declared.text().to_owned());
        InstantStatus {
            name: edge.turn.as_str(),
            at: edge.at.to_string(),
            local: schedule.zone().map(|zone| zone.show(edge.at)),
            declared_as: declared.unwrap_or_default(),
            passed: self.has_passed(edge.turn, now),
        }
    }

    fn operation(&self, operation: Operation, now: WallTime) -> OperationStatus {
        let closing = self.closing_of(operation);
        let zone = self.schedule().and_then(Schedule::zone);
        OperationStatus {
            operation,
            state: self.state_of(operation, now),
            closes_at: closing.map(|at| at.to_string()),
            closes_at_local: closing.and_then(|at| zone.map(|zone| zone.show(at))),
        }
    }
}
