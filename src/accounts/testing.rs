//! A store that can be switched off or stall, for the tests of this room and of the doors.

use std::future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

use crate::base::{BroadcastId, ChannelId, KeyId, MonoTime, Now, Rival, WallTime};
use crate::store::{
    self, BroadcastRecord, ChannelRecord, Created, GateEntry, KeyRecord, LatchRecord, Pepper,
    Revoked, Saved, Store, StoreError,
};

/// A moment: seconds since the start, and milliseconds on a calendar of its own.
pub(crate) fn now(seconds: u64, wall: i64) -> Now {
    let mono = MonoTime::from_start(Duration::from_secs(seconds));
    Now { mono, wall: WallTime::from_unix_millis(wall) }
}

#[derive(Debug)]
pub(crate) struct Switched {
    inner: Arc<dyn Store>,
    off: AtomicBool,
    stalled: AtomicBool,
    frozen: OnceLock<u64>,
    saves: AtomicUsize,
    questions: AtomicUsize,
}

impl Switched {
    pub(crate) fn on() -> Arc<Self> {
        Arc::new(Self {
            inner: store::in_memory(),
            off: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            frozen: OnceLock::new(),
            saves: AtomicUsize::new(0),
            questions: AtomicUsize::new(0),
        })
    }

    pub(crate) fn switch(&self, off: bool) {
        self.off.store(off, Ordering::Relaxed);
    }

    /// From now on nothing that is asked is ever answered, until it is switched back.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// From now on the file shows no sign of a write.
    pub(crate) fn freeze_stamp(&self) {
        self.frozen.set(self.inner.stamp()).expect("once");
    }

    /// Attempts to store the latch, successful or not.
    pub(crate) fn saves(&self) -> usize {
        self.saves.load(Ordering::Relaxed)
    }

    /// How often it was asked whether anything changed.
    pub(super) fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    async fn up(&self) -> Result<&dyn Store, StoreError> {
        if self.stalled.load(Ordering::Relaxed) {
            future::pending::<()>().await;
        }
        if self.off.load(Ordering::Relaxed) { Err(StoreError::Full) } else { Ok(&*self.inner) }
    }
}

#[async_trait]
impl Store for Switched {
    async fn revision(&self) -> Result<i64, StoreError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.up().await?.revision().await
    }

    fn stamp(&self) -> u64 {
        let stamp = self.frozen.get().copied().unwrap_or_else(|| self.inner.stamp());
        if self.off.load(Ordering::Relaxed) { u64::MAX } else { stamp }
    }

    async fn channels(&self) -> Result<Vec<ChannelRecord>, StoreError> {
        self.up().await?.channels().await
    }

    async fn create_channel(&self, id: &ChannelId, at: WallTime) -> Result<Created, StoreError> {
        self.up().await?.create_channel(id, at).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.up().await?.keys().await
    }

    async fn add_key(&self, key: &KeyRecord, instead_of: Option<&KeyId>) -> Result<(), StoreError> {
        self.up().await?.add_key(key, instead_of).await
    }

    async fn revoke_key(&self, id: &KeyId, at: WallTime) -> Result<Revoked, StoreError> {
        self.up().await?.revoke_key(id, at).await
    }

    async fn set_rival(&self, id: &KeyId, rival: Rival) -> Result<bool, StoreError> {
        self.up().await?.set_rival(id, rival).await
    }

    async fn touch_keys(&self, used: &[(KeyId, WallTime)]) -> Result<(), StoreError> {
        self.up().await?.touch_keys(used).await
    }

    async fn pepper(&self) -> Result<Pepper, StoreError> {
        self.up().await?.pepper().await
    }

    async fn latch(&self) -> Result<LatchRecord, StoreError> {
        self.up().await?.latch().await
    }

    async fn save_latch(
        &self,
        latch: &LatchRecord,
        entry: Option<&GateEntry>,
    ) -> Result<Saved, StoreError> {
        self.saves.fetch_add(1, Ordering::Relaxed);
        self.up().await?.save_latch(latch, entry).await
    }

    async fn reopen(&self, entry: &GateEntry) -> Result<LatchRecord, StoreError> {
        self.up().await?.reopen(entry).await
    }

    async fn log_gate(&self, entry: &GateEntry) -> Result<(), StoreError> {
        self.up().await?.log_gate(entry).await
    }

    async fn gate_log(&self) -> Result<Vec<(GateEntry, [u8; 32])>, StoreError> {
        self.up().await?.gate_log().await
    }

    fn next_broadcast_id(&self, now: WallTime) -> BroadcastId {
        self.inner.next_broadcast_id(now)
    }

    async fn record_start(&self, broadcast: &BroadcastRecord) -> Result<(), StoreError> {
        self.up().await?.record_start(broadcast).await
    }

    async fn record_end(
        &self,
        id: BroadcastId,
        at: WallTime,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.up().await?.record_end(id, at, reason).await
    }
}
