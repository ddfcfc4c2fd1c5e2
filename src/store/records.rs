use std::fmt;

use aws_lc_rs::digest;

use crate::base::{BroadcastId, ChannelId, KeyId, Rival, WallTime};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRecord {
    pub id: ChannelId,
    pub created_at: WallTime,
}

/// A stream key at rest: everything but the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: KeyId,
    pub channel: ChannelId,
    /// HMAC-SHA-256 of the secret under the [`Pepper`].
    pub mac: [u8; 32],
    /// The owner's words, possibly empty.
    pub label: String,
    pub rival: Rival,
    pub created_at: WallTime,
    pub last_used_at: Option<WallTime>,
    pub revoked_at: Option<WallTime>,
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRecord({} of {})", self.id, self.channel)
    }
}

/// The server's own secret, without which the stored hashes cannot be tried.
#[derive(Clone)]
pub struct Pepper(pub [u8; 32]);

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(••••)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    Existing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    Now,
    Before,
    Unknown,
}

/// The gate's memory. Store and gate do not know each other: the turn is the name that the gate
/// gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatchRecord {
    pub reached: Option<ReachedRecord>,
    pub high_water: Option<WallTime>,
    /// Grows with every reopening; a latch of an older generation is not stored any more.
    pub generation: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedRecord {
    pub turn: String,
    pub at: WallTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Stored,
    /// Reopened meanwhile: the stored latch is newer than the one offered.
    Superseded,
}

/// One line of the gate's public history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateEntry {
    pub at: WallTime,
    pub kind: GateEntryKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateEntryKind {
    /// A schedule different from the one before.
    Declared,
    /// The latch went forward.
    Closed,
    /// An operator reopened, and why.
    Reopened,
}

impl GateEntryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Declared, Self::Closed, Self::Reopened].into_iter().find(|k| k.as_str() == text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastRecord {
    pub id: BroadcastId,
    pub channel: ChannelId,
    pub key: KeyId,
    pub started_at: WallTime,
}

/// The hash of an entry: SHA-256 over the hash before it and every field with its length, so
/// that no entry can be changed, moved or taken out without changing all later ones.
pub(super) fn chain_hash(before: Option<&[u8; 32]>, entry: &GateEntry) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before.unwrap_or(&[0; 32]));
    context.update(&entry.at.unix_millis().to_be_bytes());
    for field in [entry.kind.as_str(), &entry.text] {
        context.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Whether a gate log is as it was written.
pub fn chain_is_whole(log: &[(GateEntry, [u8; 32])]) -> bool {
    let mut before = None;
    log.iter().all(|(entry, hash)| {
        let expected = chain_hash(before, entry);
        before = Some(hash);
        expected == *hash
    })
}
