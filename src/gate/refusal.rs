use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::operation::Kind;
use super::{ClockFault, Operation, Phase};
use crate::base::{Blame, WallTime};

/// The gate's no. Each protocol says it in its own words by a `match` without catch-all; the
/// [`fmt::Display`] form is one plain ASCII sentence of less than 200 bytes for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No new broadcast, or none any more at all.
    BroadcastsClosed(Closed),
    /// No new channel or key.
    KeysClosed(Closed),
    /// Nothing is live any more.
    WatchingClosed(Closed),
    /// This node is about to stop; another, or this one in a minute, will take the publisher.
    NodeDraining,
    /// The clock cannot be right, so nobody can say whether the closing has passed.
    ClockUntrusted(ClockFault),
}

/// The facts of a refusal by the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub operation: Operation,
    pub phase: Phase,
    /// The instant since which it is closed.
    pub since: WallTime,
    /// The instant of the decision.
    pub now: WallTime,
    /// What the service still does.
    pub still_possible: Vec<Operation>,
    /// Where people read more.
    pub info: Option<Arc<str>>,
    /// An operator could still move the closing, or this is a rehearsal: nobody may keep this
    /// answer for good.
    pub revocable: bool,
}

impl Refusal {
    /// A refusal by the schedule; `None` for an operation that is never refused.
    pub(super) fn closed(closed: Closed) -> Option<Self> {
        Some(match closed.operation.kind()? {
            Kind::Keys => Self::KeysClosed(closed),
            Kind::Broadcasts => Self::BroadcastsClosed(closed),
            Kind::Watching => Self::WatchingClosed(closed),
        })
    }

    /// The metric label, and the last word of the problem type.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BroadcastsClosed(_) => "broadcasts-closed",
            Self::KeysClosed(_) => "keys-closed",
            Self::WatchingClosed(_) => "watching-closed",
            Self::NodeDraining => "node-draining",
            Self::ClockUntrusted(_) => "clock-untrusted",
        }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::BroadcastsClosed(_)
            | Self::KeysClosed(_)
            | Self::WatchingClosed(_)
            | Self::NodeDraining => Blame::Policy,
            Self::ClockUntrusted(_) => Blame::Us,
        }
    }

    /// The facts behind a refusal by the schedule.
    pub fn as_closed(&self) -> Option<&Closed> {
        match self {
            Self::BroadcastsClosed(closed)
            | Self::KeysClosed(closed)
            | Self::WatchingClosed(closed) => Some(closed),
            Self::NodeDraining | Self::ClockUntrusted(_) => None,
        }
    }

    /// The members of a problem document (RFC 9457) except `status`, which is the protocol's.
    pub fn problem(&self) -> Problem {
        let closed = self.as_closed();
        Problem {
            kind: format!("/sunset#{}", self.as_str()),
            title: match self {
                Self::BroadcastsClosed(_) => "New broadcasts are closed",
                Self::KeysClosed(_) => "New channels and stream keys are closed",
                Self::WatchingClosed(_) => "Live broadcasts have ended",
                Self::NodeDraining => "This server is about to stop",
                Self::ClockUntrusted(_) => "The clock of this server is wrong",
            },
            detail: self.to_string(),
            phase: closed.map(|closed| closed.phase),
            operation: closed.map(|closed| closed.operation),
            closed_at: closed.map(|closed| closed.since.to_string()),
            server_time: closed.map(|closed| closed.now.to_string()),
            retry: closed.is_none(),
            still_possible: closed.map(|c| c.still_possible.clone()).unwrap_or_default(),
            info: closed.and_then(|closed| closed.info.clone()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BroadcastsClosed(closed) => match closed.operation {
                Operation::Resume | Operation::Keep => closed.write(f, "Broadcasting ended at"),
                Operation::CreateChannel
                | Operation::CreateKey
                | Operation::RotateKey
                | Operation::RevokeKey
                | Operation::Start
                | Operation::WatchLive
                | Operation::ReadStatus => closed.write(f, "New broadcasts are closed since"),
            },
            Self::KeysClosed(closed) => {
                closed.write(f, "New channels and stream keys are closed since")
            }
            Self::WatchingClosed(closed) => closed.write(f, "Live broadcasts ended at"),
            Self::NodeDraining => f.write_str("This server is about to stop; try again shortly."),
            Self::ClockUntrusted(_) => f.write_str(
                "This server's clock is wrong, so nothing new may begin until it is set.",
            ),
        }
    }
}

impl std::error::Error for Refusal {}

impl Closed {
    fn write(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "{what} {}.", self.since)?;
        let finishing = self.operation == Operation::Start
            && self.still_possible.contains(&Operation::WatchLive);
        if finishing {
            f.write_str(" Running broadcasts may finish and be watched.")?;
        }
        match &self.info {
            Some(info) => write!(f, " See {info}"),
            None => f.write_str(" See /sunset on this server."),
        }
    }
}

/// The facts of a problem document. Rendered as JSON they are its members; the protocol adds
/// `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A reference that leads to the page explaining it.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<String>,
    /// Whether asking again later can help.
    pub retry: bool,
    pub still_possible: Vec<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Arc<str>>,
}
