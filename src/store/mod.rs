//! The records we must keep: channels, keys, the latch, broadcasts. One trait in our words, one
//! contract every adapter passes; no other room names an adapter or writes SQL, and nothing here
//! decides anything. Read [`Store`] first.

mod error;
mod folder;
mod memory;
mod numbers;
mod records;
mod sqlite;

#[cfg(test)]
mod contract;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

pub use error::StoreError;
pub use folder::ServerLock;
pub use records::{
    BroadcastRecord, ChannelRecord, Created, GateEntry, GateEntryKind, KeyRecord, LatchRecord,
    Pepper, ReachedRecord, Revoked, Saved, chain_is_whole,
};

use crate::base::{BroadcastId, ChannelId, KeyId, Rival, WallTime};

/// The database file in the data folder.
const FILE: &str = "ghostlight.db";

/// What the server keeps over a restart. One method is one transaction, durable when it returns;
/// dropping the future half-way leaves either all of it or nothing.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// A number that differs whenever something, here or in another process, was written since.
    async fn revision(&self) -> Result<i64, StoreError>;

    /// Differs from an earlier one whenever anything was written since, and costs no question to
    /// the database. It may show a write some time before that can be read.
    fn stamp(&self) -> u64;

    /// All channels, by name.
    async fn channels(&self) -> Result<Vec<ChannelRecord>, StoreError>;

    /// Makes the channel unless it exists.
    async fn create_channel(&self, id: &ChannelId, at: WallTime) -> Result<Created, StoreError>;

    /// All keys, revoked ones too, by channel and age.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Adds a key, makes its channel where it is missing, and revokes `instead_of` in the same
    /// transaction.
    async fn add_key(&self, key: &KeyRecord, instead_of: Option<&KeyId>) -> Result<(), StoreError>;

    /// Revokes a key for good. Revoking twice keeps the first time.
    async fn revoke_key(&self, id: &KeyId, at: WallTime) -> Result<Revoked, StoreError>;

    /// Chooses anew what becomes of a key's rivals; answers whether there is such a key.
    async fn set_rival(&self, id: &KeyId, rival: Rival) -> Result<bool, StoreError>;

    /// Notes when keys were last used; a time earlier than the stored one changes nothing.
    async fn touch_keys(&self, used: &[(KeyId, WallTime)]) -> Result<(), StoreError>;

    /// The secret under which keys are hashed, made with the database.
    async fn pepper(&self) -> Result<Pepper, StoreError>;

    async fn latch(&self) -> Result<LatchRecord, StoreError>;

    /// Stores the latch of the same generation and, in the same transaction, an entry that tells
    /// of it. On disk when it returns, not in a cache.
    async fn save_latch(
        &self,
        latch: &LatchRecord,
        entry: Option<&GateEntry>,
    ) -> Result<Saved, StoreError>;

    /// Empties the latch, begins its next generation, and records `entry`.
    async fn reopen(&self, entry: &GateEntry) -> Result<LatchRecord, StoreError>;

    /// Appends to the gate log.
    async fn log_gate(&self, entry: &GateEntry) -> Result<(), StoreError>;

    /// The gate log, oldest first, with the hash of each entry.
    async fn gate_log(&self) -> Result<Vec<(GateEntry, [u8; 32])>, StoreError>;

    /// The next generation: greater than every earlier one, over restarts too, and never waiting
    /// for a disk. Wall milliseconds, or one more than the last where the clock stood still.
    fn next_broadcast_id(&self, now: WallTime) -> BroadcastId;

    async fn record_start(&self, broadcast: &BroadcastRecord) -> Result<(), StoreError>;

    async fn record_end(
        &self,
        id: BroadcastId,
        at: WallTime,
        reason: &str,
    ) -> Result<(), StoreError>;
}

/// Opens the store in `folder`, making both where they are missing (folder 0700, file 0600).
/// Several processes may have it open; only [`lock`] is exclusive.
pub async fn open(folder: &Path) -> Result<Arc<dyn Store>, StoreError> {
    folder::prepare(folder, FILE)?;
    Ok(Arc::new(sqlite::Sqlite::open(folder, FILE).await?))
}

/// Opens the store only if there is one; makes nothing.
pub async fn open_existing(folder: &Path) -> Result<Option<Arc<dyn Store>>, StoreError> {
    if !folder.join(FILE).is_file() {
        return Ok(None);
    }
    open(folder).await.map(Some)
}

/// A store that forgets everything at the end of the process, for tests and trials.
pub fn in_memory() -> Arc<dyn Store> {
    Arc::new(memory::Memory::new())
}

/// Claims `folder` for this one server until the lock is dropped or the process ends.
pub fn lock(folder: &Path) -> Result<ServerLock, StoreError> {
    folder::prepare(folder, FILE)?;
    ServerLock::claim(folder)
}
