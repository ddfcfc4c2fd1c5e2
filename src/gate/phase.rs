use std::fmt;

use serde::{Serialize, Serializer};

use crate::base::WallTime;

/// Where the service stands. Only forward:
///
/// ```text
/// open → announced → claims closed → finishing → read-only → settled → export-only → gone
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Open,
    /// The end is announced; new accounts, channels and keys are closed from here on.
    Announced,
    /// Payouts can no longer be requested.
    ClaimsClosed,
    /// No new broadcast; what runs may run on until `finish_until`.
    Finishing,
    /// Nothing is live any more; what was made can be read and taken away.
    ReadOnly,
    /// Requested payouts have been paid.
    Settled,
    /// Only one's own export is left.
    ExportOnly,
    Gone,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Announced,
        Self::ClaimsClosed,
        Self::Finishing,
        Self::ReadOnly,
        Self::Settled,
        Self::ExportOnly,
        Self::Gone,
    ];

    /// The word in the status document, in logs and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Announced => "announced",
            Self::ClaimsClosed => "claims_closed",
            Self::Finishing => "finishing",
            Self::ReadOnly => "read_only",
            Self::Settled => "settled",
            Self::ExportOnly => "export_only",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A point of the schedule after which something is closed, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Turn {
    Announced,
    KeysClose,
    ClaimsClose,
    PublishClose,
    FinishUntil,
    Settle,
    ArchiveClose,
    Gone,
}

impl Turn {
    /// Every turn, in order.
    pub const ALL: [Self; 8] = [
        Self::Announced,
        Self::KeysClose,
        Self::ClaimsClose,
        Self::PublishClose,
        Self::FinishUntil,
        Self::Settle,
        Self::ArchiveClose,
        Self::Gone,
    ];

    /// The key of this turn in the configuration's section `sunset`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced_at",
            Self::KeysClose => "keys_close_at",
            Self::ClaimsClose => "claims_close_at",
            Self::PublishClose => "publish_close_at",
            Self::FinishUntil => "finish_until",
            Self::Settle => "settle_at",
            Self::ArchiveClose => "archive_close_at",
            Self::Gone => "gone_at",
        }
    }

    /// Reads what [`Turn::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|turn| turn.as_str() == text)
    }

    /// The phase that begins here. Closing the keys begins none of its own.
    pub fn begins(self) -> Option<Phase> {
        match self {
            Self::Announced => Some(Phase::Announced),
            Self::KeysClose => None,
            Self::ClaimsClose => Some(Phase::ClaimsClosed),
            Self::PublishClose => Some(Phase::Finishing),
            Self::FinishUntil => Some(Phase::ReadOnly),
            Self::Settle => Some(Phase::Settled),
            Self::ArchiveClose => Some(Phase::ExportOnly),
            Self::Gone => Some(Phase::Gone),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A turn with its instant: allowed before it, refused at it and after (half-open).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub turn: Turn,
    pub at: WallTime,
}
