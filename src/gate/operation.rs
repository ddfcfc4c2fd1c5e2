use std::fmt;

use serde::{Serialize, Serializer};

use super::{Admission, Turn};

/// A question to the gate: what somebody wants to do. Each operation is one row of the table;
/// a new one adds its rows to the four `match`es below and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    CreateChannel,
    CreateKey,
    /// A new key for somebody who has one.
    RotateKey,
    RevokeKey,
    /// Publish, a new broadcast.
    Start,
    /// Publish, back within the resume window, or take over the running broadcast.
    Resume,
    /// Go on publishing what runs.
    Keep,
    WatchLive,
    /// The sunset page, the status document, health.
    ReadStatus,
}

/// Which problem a refusal reports (the last word of its `type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Keys,
    Broadcasts,
    Watching,
}

impl Operation {
    /// Every operation, in the order in which lists show them.
    pub const ALL: [Self; 9] = [
        Self::CreateChannel,
        Self::CreateKey,
        Self::RotateKey,
        Self::RevokeKey,
        Self::Start,
        Self::Resume,
        Self::Keep,
        Self::WatchLive,
        Self::ReadStatus,
    ];

    /// The word in the status document, in problem documents and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateChannel => "create_channel",
            Self::CreateKey => "create_key",
            Self::RotateKey => "rotate_key",
            Self::RevokeKey => "revoke_key",
            Self::Start => "start_broadcast",
            Self::Resume => "resume_broadcast",
            Self::Keep => "keep_publishing",
            Self::WatchLive => "watch_live",
            Self::ReadStatus => "read_status",
        }
    }

    /// The turn that ends this operation, or the next later one that the schedule names; `None`
    /// is never refused.
    pub(super) fn closes_at(self) -> Option<Turn> {
        match self {
            Self::CreateChannel | Self::CreateKey => Some(Turn::KeysClose),
            Self::RotateKey | Self::Start => Some(Turn::PublishClose),
            Self::Resume | Self::Keep | Self::WatchLive => Some(Turn::FinishUntil),
            Self::RevokeKey => Some(Turn::ArchiveClose),
            Self::ReadStatus => None,
        }
    }

    /// Between this turn and the end of the operation only what already runs goes on.
    pub(super) fn narrows_at(self) -> Option<Turn> {
        match self {
            Self::Resume | Self::Keep | Self::WatchLive => Some(Turn::PublishClose),
            Self::CreateChannel
            | Self::CreateKey
            | Self::RotateKey
            | Self::RevokeKey
            | Self::Start
            | Self::ReadStatus => None,
        }
    }

    /// What begins something new needs a clock that can be believed; what goes on does not.
    pub(super) fn needs_clock(self) -> bool {
        match self {
            Self::CreateChannel | Self::CreateKey | Self::RotateKey | Self::Start => true,
            Self::RevokeKey | Self::Resume | Self::Keep | Self::WatchLive | Self::ReadStatus => {
                false
            }
        }
    }

    /// What a refusal of this operation is called; `None` for what is never refused.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::CreateChannel | Self::CreateKey | Self::RotateKey | Self::RevokeKey => {
                Some(Kind::Keys)
            }
            Self::Start | Self::Resume | Self::Keep => Some(Kind::Broadcasts),
            Self::WatchLive => Some(Kind::Watching),
            Self::ReadStatus => None,
        }
    }

    /// Brings media to this node, which a draining node no longer takes.
    pub(super) fn takes_publisher(self) -> bool {
        match self {
            Self::Start | Self::Resume => true,
            Self::CreateChannel
            | Self::CreateKey
            | Self::RotateKey
            | Self::RevokeKey
            | Self::Keep
            | Self::WatchLive
            | Self::ReadStatus => false,
        }
    }
}

impl From<Admission> for Operation {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::Start => Self::Start,
            Admission::Resume => Self::Resume,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
