//! Is this allowed now? One schedule, one table, one decision function for every protocol.
//! No clock (the time comes in), no I/O, no protocol words; nothing outside compares dates.
//! Read [`Policy`] first, then [`Operation`], whose rows are the table.

mod history;
mod instant;
mod latch;
mod notice;
mod operation;
mod permit;
mod phase;
mod policy;
mod refusal;
mod schedule;
mod status;

pub use instant::{DeclaredInstant, InstantError, Zone};
pub use latch::{ClockFault, ClockFaultReason, Latch, Reached, build_time};
pub use notice::Notice;
pub use operation::Operation;
pub use permit::{Admission, StartPermit};
pub use phase::{Edge, Phase, Turn};
pub use policy::{Policy, Verdict};
pub use refusal::{Closed, Problem, Refusal};
pub use schedule::{
    ClosingPolicy, NOTICE_MIN, Schedule, ScheduleError, ScheduleFault, ScheduleSettings,
    ScheduleWarning, Shortened,
};
pub use status::{Change, InstantStatus, OperationState, OperationStatus, StatusDocument};

#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod testing;
