use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::{Semaphore, broadcast};
use tokio::time;

use super::token::Presented;
use crate::base::{Blame, ChannelId, KeyId, MonoTime, Now, Rival, Secret, WallTime};
use crate::store::{KeyRecord, Store, StoreError};

/// How long one look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);
/// Everything is read again at least this often, changed or not.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// After the last sign of a write this many looks ask the store: the sign comes before the write
/// can be read.
const LOOKS_AFTER_SIGN: u32 = 10;
/// How long keys keep working when the store does not answer.
const CACHE_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often the times of last use are written.
const NOTE_USE_EVERY: Duration = Duration::from_secs(10);
/// Revocations a slow listener may fall behind before it must ask [`Keys::is_active`].
const REVOKED_QUEUE_MAX: usize = 256;

/// Stream keys and the channels they open, from memory: a copy of the records that is as fresh as
/// the last [`Keys::look`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    shared: Arc<Shared>,
}

/// What a right key is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    pub channel: ChannelId,
    pub key: KeyId,
    pub rival: Rival,
}

/// Why a presented key opens nothing. What is wrong with it is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Never issued, revoked, or for another secret: one answer for all.
    #[error("unknown stream key")]
    Unknown,
    /// The records cannot be read, so a key that is not known here may still be right.
    #[error("stream keys cannot be checked right now; try again")]
    TryLater,
}

impl KeyError {
    pub fn blame(self) -> Blame {
        match self {
            Self::Unknown => Blame::Policy,
            Self::TryLater => Blame::Us,
        }
    }
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    pepper: hmac::Key,
    known: RwLock<Arc<Known>>,
    /// Times of use that are not in the store yet; at most one for each key.
    used: Mutex<BTreeMap<KeyId, WallTime>>,
    /// When they were last written.
    noted: Mutex<MonoTime>,
    revoked: broadcast::Sender<KeyId>,
    /// One look at a time.
    looking: Semaphore,
    signs: Mutex<Signs>,
}

/// The copy of the records, and how far it can be trusted.
#[derive(Clone, Debug)]
struct Known {
    records: Arc<Records>,
    revision: i64,
    /// When the store last answered.
    answered: MonoTime,
    /// When all of it was last read.
    read: MonoTime,
    /// The store failed since it last answered.
    stale: bool,
}

/// Whether the store was written to, seen from outside.
#[derive(Debug)]
struct Signs {
    stamp: Option<u64>,
    /// Looks that ask the store, signs or not.
    looks_left: u32,
}

#[derive(Debug)]
struct Records {
    channels: BTreeSet<ChannelId>,
    keys: BTreeMap<KeyId, KeyRecord>,
}

impl Keys {
    /// Reads the records once; [`Keys::look`] keeps them fresh.
    pub async fn open(store: Arc<dyn Store>, now: Now) -> Result<Self, StoreError> {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, &store.pepper().await?.0);
        let revision = store.revision().await?;
        let known = read(&*store, revision, now.mono).await?;
        let (revoked, _) = broadcast::channel(REVOKED_QUEUE_MAX);
        let shared = Shared {
            store,
            pepper,
            known: RwLock::new(Arc::new(known)),
            used: Mutex::new(BTreeMap::new()),
            noted: Mutex::new(now.mono),
            revoked,
            looking: Semaphore::new(1),
            signs: Mutex::new(Signs { stamp: None, looks_left: 0 }),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Which channel a presented key opens. A key that is not known is looked for in the store
    /// once more, so one that was added a moment ago works. May be dropped half-way.
    pub async fn resolve(&self, presented: &Secret, now: Now) -> Result<KeyGrant, KeyError> {
        if let Ok(grant) = self.find(presented, now) {
            return Ok(grant);
        }
        self.look_for_new(now).await;
        self.find(presented, now)
    }

    /// Tells of every key that stops working. A listener that fell behind asks
    /// [`Keys::is_active`] for its own.
    pub fn revoked(&self) -> broadcast::Receiver<KeyId> {
        self.shared.revoked.subscribe()
    }

    pub fn is_active(&self, key: &KeyId) -> bool {
        self.known().records.keys.get(key).is_some_and(|record| record.revoked_at.is_none())
    }

    pub fn has_channel(&self, channel: &ChannelId) -> bool {
        self.known().records.channels.contains(channel)
    }

    /// All channels, by name.
    pub fn channels(&self) -> Vec<ChannelId> {
        self.known().records.channels.iter().cloned().collect()
    }

    /// Takes over what other processes wrote, and writes times of use now and then. To be called
    /// once a second while anything is live: what was revoked elsewhere works no longer than that.
    pub async fn look(&self, now: Now) {
        {
            let Ok(_turn) = self.shared.looking.acquire().await else { return };
            self.ask_store(now).await;
        }
        self.note_due_use(now).await;
    }

    /// The same while nothing is live, without a question where no sign of a write is seen. A
    /// revocation without a sign, or long after it, is found by the first look of a broadcast.
    pub async fn look_at_rest(&self, now: Now) {
        {
            let Ok(_turn) = self.shared.looking.acquire().await else { return };
            let known = self.known();
            if self.shared.is_quiet(&known, now.mono) {
                self.shared.set(Known { answered: now.mono, ..(*known).clone() });
            } else {
                self.ask_store(now).await;
            }
        }
        self.note_due_use(now).await;
    }

    /// The revision of the store that the copy shows.
    pub fn revision(&self) -> i64 {
        self.known().revision
    }

    /// Writes the times of use that are not in the store yet.
    pub async fn note_use(&self) {
        let used: Vec<_> = self.shared.used().iter().map(|(k, at)| (k.clone(), *at)).collect();
        if used.is_empty() {
            return;
        }
        // What could not be written is kept for the next time.
        let written = time::timeout(LOOK_TIME_MAX, self.shared.store.touch_keys(&used)).await;
        if let Ok(Ok(())) = written {
            let mut pending = self.shared.used();
            for (key, at) in used {
                if pending.get(&key) == Some(&at) {
                    pending.remove(&key);
                }
            }
        }
    }

    async fn note_due_use(&self, now: Now) {
        if self.shared.is_use_due(now.mono) {
            self.note_use().await;
        }
    }

    /// Compares whatever was found, or nothing, in the same time.
    fn find(&self, presented: &Secret, now: Now) -> Result<KeyGrant, KeyError> {
        let known = self.known();
        let missing = if known.stale { KeyError::TryLater } else { KeyError::Unknown };
        let presented = Presented::parse(presented.reveal()).ok_or(KeyError::Unknown)?;
        let record = known.records.keys.get(&KeyId::new(presented.id));
        let mac = record.map_or(&[0; 32], |record| &record.mac);
        let right = presented.matches(&self.shared.pepper, mac);
        let active = record.filter(|record| right && record.revoked_at.is_none());
        if CACHE_TIME_MAX < now.mono.since(known.answered) {
            return Err(KeyError::TryLater);
        }
        let record = active.ok_or(missing)?;
        self.shared.used().insert(record.id.clone(), now.wall);
        let (channel, key) = (record.channel.clone(), record.id.clone());
        Ok(KeyGrant { channel, key, rival: record.rival })
    }

    /// Looks once more, on behalf of somebody who waits; a store that does not answer is left to
    /// [`Keys::look`], or they would all wait for it one after the other.
    async fn look_for_new(&self, now: Now) {
        if self.known().stale {
            return;
        }
        let Ok(_turn) = self.shared.looking.acquire().await else { return };
        if !self.known().stale {
            self.ask_store(now).await;
        }
    }

    /// Asks the store whether anything changed, and reads it if so.
    async fn ask_store(&self, now: Now) {
        let answer = time::timeout(LOOK_TIME_MAX, self.fresh(now.mono)).await;
        let before = self.known();
        match answer {
            Ok(Ok(after)) => {
                if before.stale {
                    tracing::info!("the store answers again");
                }
                self.replace(&before, after);
            }
            Ok(Err(error)) => self.mark_stale(&before, &error.to_string()),
            Err(_) => self.mark_stale(&before, "no answer in time"),
        }
    }

    async fn fresh(&self, now: MonoTime) -> Result<Known, StoreError> {
        let store = &*self.shared.store;
        let revision = store.revision().await?;
        let before = self.known();
        if revision == before.revision && now.since(before.read) < READ_AGAIN {
            return Ok(Known { answered: now, stale: false, ..(*before).clone() });
        }
        read(store, revision, now).await
    }

    fn replace(&self, before: &Known, after: Known) {
        let ended = ended_keys(&before.records, &after.records);
        self.shared.set(after);
        for key in ended {
            tracing::info!(%key, "stream key revoked");
            // Nobody publishing is no failure.
            let _ = self.shared.revoked.send(key);
        }
    }

    fn mark_stale(&self, before: &Known, error: &str) {
        if !before.stale {
            tracing::error!(error, "stream keys cannot be read; known ones keep working");
            self.shared.set(Known { stale: true, ..before.clone() });
        }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.shared.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn set(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// Whether the store holds what is `known`, without a question. What this server writes is a
    /// sign too: the gate stores the time each minute, so one at rest asks some ten times a minute.
    fn is_quiet(&self, known: &Known, now: MonoTime) -> bool {
        let stamp = Some(self.store.stamp());
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        if signs.stamp != stamp {
            *signs = Signs { stamp, looks_left: LOOKS_AFTER_SIGN };
        }
        let quiet = signs.looks_left == 0 && !known.stale && now.since(known.read) < READ_AGAIN;
        signs.looks_left = signs.looks_left.saturating_sub(1);
        quiet
    }

    /// Whether times of use are to be written now; a yes counts as done.
    fn is_use_due(&self, now: MonoTime) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = NOTE_USE_EVERY <= now.since(*noted);
        if due {
            *noted = now;
        }
        due
    }

    fn used(&self) -> std::sync::MutexGuard<'_, BTreeMap<KeyId, WallTime>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys that worked before and do not after.
fn ended_keys(before: &Arc<Records>, after: &Arc<Records>) -> Vec<KeyId> {
    if Arc::ptr_eq(before, after) {
        return Vec::new();
    }
    let active = before.keys.values().filter(|key| key.revoked_at.is_none());
    let ended =
        active.filter(|key| after.keys.get(&key.id).is_none_or(|now| now.revoked_at.is_some()));
    ended.map(|key| key.id.clone()).collect()
}

async fn read(store: &dyn Store, revision: i64, now: MonoTime) -> Result<Known, StoreError> {
    let channels = store.channels().await?.into_iter().map(|channel| channel.id).collect();
    let keys = store.keys().await?.into_iter().map(|key| (key.id.clone(), key)).collect();
    let records = Arc::new(Records { channels, keys });
    Ok(Known { records, revision, answered: now, read: now, stale: false })
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
