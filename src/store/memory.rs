use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::numbers::Numbers;
use super::records::chain_hash;
use super::{
    BroadcastRecord, ChannelRecord, Created, GateEntry, KeyRecord, LatchRecord, Pepper, Revoked,
    Saved, Store, StoreError,
};
use crate::base::{BroadcastId, ChannelId, KeyId, Rival, WallTime};

/// Records for as long as the process runs.
#[derive(Debug, Default)]
pub(super) struct Memory {
    records: Mutex<Records>,
    numbers: Numbers,
}

#[derive(Debug)]
struct Records {
    revision: i64,
    channels: BTreeMap<ChannelId, ChannelRecord>,
    keys: Vec<KeyRecord>,
    pepper: Pepper,
    latch: LatchRecord,
    gate_log: Vec<(GateEntry, [u8; 32])>,
    broadcasts: BTreeMap<BroadcastId, (BroadcastRecord, Option<(WallTime, String)>)>,
}

impl Default for Records {
    fn default() -> Self {
        let mut pepper = [0; 32];
        aws_lc_rs::rand::fill(&mut pepper).expect("the machine gives random bytes");
        Self {
            revision: 0,
            channels: BTreeMap::new(),
            keys: Vec::new(),
            pepper: Pepper(pepper),
            latch: LatchRecord::default(),
            gate_log: Vec::new(),
            broadcasts: BTreeMap::new(),
        }
    }
}

impl Records {
    fn log(&mut self, entry: &GateEntry) {
        let hash = chain_hash(self.gate_log.last().map(|(_, hash)| hash), entry);
        self.gate_log.push((entry.clone(), hash));
    }

    fn revoke(&mut self, id: &KeyId, at: WallTime) -> Revoked {
        match self.keys.iter_mut().find(|key| key.id == *id) {
            None => Revoked::Unknown,
            Some(KeyRecord { revoked_at: Some(_), .. }) => Revoked::Before,
            Some(key) => {
                key.revoked_at = Some(at);
                Revoked::Now
            }
        }
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> MutexGuard<'_, Records> {
        let mut records = self.read();
        records.revision += 1;
        records
    }
}

#[async_trait]
impl Store for Memory {
    async fn revision(&self) -> Result<i64, StoreError> {
        Ok(self.read().revision)
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.read().revision).unwrap_or(0)
    }

    async fn channels(&self) -> Result<Vec<ChannelRecord>, StoreError> {
        Ok(self.read().channels.values().cloned().collect())
    }

    async fn create_channel(&self, id: &ChannelId, at: WallTime) -> Result<Created, StoreError> {
        let mut records = self.write();
        if records.channels.contains_key(id) {
            return Ok(Created::Existing);
        }
        records.channels.insert(id.clone(), ChannelRecord { id: id.clone(), created_at: at });
        Ok(Created::New)
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys = self.read().keys.clone();
        keys.sort_by(|a, b| {
            (&a.channel, a.created_at, &a.id).cmp(&(&b.channel, b.created_at, &b.id))
        });
        Ok(keys)
    }

    async fn add_key(&self, key: &KeyRecord, instead_of: Option<&KeyId>) -> Result<(), StoreError> {
        let mut records = self.write();
        if records.keys.iter().any(|other| other.id == key.id) {
            return Err(StoreError::Exists(format!("key {}", key.id)));
        }
        let channel = ChannelRecord { id: key.channel.clone(), created_at: key.created_at };
        records.channels.entry(key.channel.clone()).or_insert(channel);
        records.keys.push(key.clone());
        if let Some(old) = instead_of {
            records.revoke(old, key.created_at);
        }
        Ok(())
    }

    async fn revoke_key(&self, id: &KeyId, at: WallTime) -> Result<Revoked, StoreError> {
        Ok(self.write().revoke(id, at))
    }

    async fn set_rival(&self, id: &KeyId, rival: Rival) -> Result<bool, StoreError> {
        let mut records = self.write();
        let found = records.keys.iter_mut().find(|key| key.id == *id);
        Ok(found.map(|key| key.rival = rival).is_some())
    }

    async fn touch_keys(&self, used: &[(KeyId, WallTime)]) -> Result<(), StoreError> {
        let mut records = self.write();
        for (id, at) in used {
            if let Some(key) = records.keys.iter_mut().find(|key| key.id == *id) {
                key.last_used_at = key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn pepper(&self) -> Result<Pepper, StoreError> {
        Ok(self.read().pepper.clone())
    }

    async fn latch(&self) -> Result<LatchRecord, StoreError> {
        Ok(self.read().latch.clone())
    }

    async fn save_latch(
        &self,
        latch: &LatchRecord,
        entry: Option<&GateEntry>,
    ) -> Result<Saved, StoreError> {
        let mut records = self.write();
        if records.latch.generation != latch.generation {
            return Ok(Saved::Superseded);
        }
        records.latch = latch.clone();
        if let Some(entry) = entry {
            records.log(entry);
        }
        Ok(Saved::Stored)
    }

    async fn reopen(&self, entry: &GateEntry) -> Result<LatchRecord, StoreError> {
        let mut records = self.write();
        let generation = records.latch.generation + 1;
        records.latch = LatchRecord { generation, ..LatchRecord::default() };
        records.log(entry);
        Ok(records.latch.clone())
    }

    async fn log_gate(&self, entry: &GateEntry) -> Result<(), StoreError> {
        self.write().log(entry);
        Ok(())
    }

    async fn gate_log(&self) -> Result<Vec<(GateEntry, [u8; 32])>, StoreError> {
        Ok(self.read().gate_log.clone())
    }

    fn next_broadcast_id(&self, now: WallTime) -> BroadcastId {
        self.numbers.next(now)
    }

    async fn record_start(&self, broadcast: &BroadcastRecord) -> Result<(), StoreError> {
        let mut records = self.write();
        records.broadcasts.entry(broadcast.id).or_insert_with(|| (broadcast.clone(), None));
        Ok(())
    }

    async fn record_end(
        &self,
        id: BroadcastId,
        at: WallTime,
        reason: &str,
    ) -> Result<(), StoreError> {
        if let Some((_, end)) = self.write().broadcasts.get_mut(&id) {
            end.get_or_insert_with(|| (at, reason.to_owned()));
        }
        Ok(())
    }
}
