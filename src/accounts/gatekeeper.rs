use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{self, Instant};

use super::memory::{closing_entry, last_declared, latch_of, record_of, tz_version};
use crate::base::{ChannelId, MonoTime, Now, WallTime};
use crate::gate::{
    Admission, Latch, Operation, Policy, Reached, Refusal, Schedule, Shortened, StartPermit,
    Verdict,
};
use crate::store::{GateEntry, GateEntryKind, LatchRecord, Saved, Store, StoreError};

/// How often the latest wall time is stored.
const MARK_EVERY: Duration = Duration::from_secs(60);
/// How long a refusal waits for the latch to reach the disk before it goes out all the same, and
/// how long a look waits to hear of a reopening. The time for its turn counts.
const SAVE_TIME_MAX: Duration = Duration::from_secs(2);
/// After a failed write the next one waits this long: a storm of refusals is no storm of writes.
const SAVE_PAUSE: Duration = Duration::from_secs(1);

/// The gate with a memory: asks [`Policy`], and stores the latch before the first refusal by the
/// schedule goes out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gatekeeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: watch::Sender<Arc<Policy>>,
    /// `None` in a rehearsal, which remembers nothing.
    store: Option<Arc<dyn Store>>,
    memory: Mutex<Memory>,
    /// One write at a time; the others wait for it, since they must not refuse before it is done.
    saving: Semaphore,
}

/// What is known of the stored latch.
#[derive(Debug)]
struct Memory {
    stored: Option<Reached>,
    generation: i64,
    /// The newest revision of the store that was heard of.
    revision: Option<i64>,
    /// When the latest wall time was last stored.
    marked: Option<MonoTime>,
    failed: Option<MonoTime>,
    /// When a look first saw that no broadcast may be begun any more, after the last permit.
    start_closed: Option<MonoTime>,
}

impl Gatekeeper {
    /// A gate that decides by `policy` and remembers nothing: for a rehearsal, and for tests.
    pub fn without_memory(policy: Policy) -> Self {
        Self::new(policy, None, LatchRecord::default())
    }

    /// The gate of a real server. Records the schedule where it differs from the recorded one.
    /// `built` is [`crate::gate::build_time`].
    pub async fn open(
        store: Arc<dyn Store>,
        schedule: Option<Schedule>,
        built: Option<WallTime>,
        now: Now,
    ) -> Result<Self, StoreError> {
        let record = store.latch().await?;
        let policy = Policy::new(schedule, latch_of(&record)).built_at(built);
        let policy = policy.with_tz_database(tz_version());
        let gatekeeper = Self::new(policy, Some(store), record);
        gatekeeper.declare(now.wall).await;
        // What cannot be read now is read by a look.
        let _ = gatekeeper.tell_history().await;
        gatekeeper.remember(now).await;
        Ok(gatekeeper)
    }

    fn new(policy: Policy, store: Option<Arc<dyn Store>>, record: LatchRecord) -> Self {
        let memory = Memory {
            stored: policy.latch().reached,
            generation: record.generation,
            revision: None,
            marked: None,
            failed: None,
            start_closed: None,
        };
        let shared = Shared {
            policy: watch::Sender::new(Arc::new(policy)),
            store,
            memory: Mutex::new(memory),
            saving: Semaphore::new(1),
        };
        Self { shared: Arc::new(shared) }
    }

    /// May this channel go live now? `now` is when the whole question had arrived. Dropping the
    /// future gives no answer and loses nothing.
    pub async fn admit(
        &self,
        channel: &ChannelId,
        admission: Admission,
        now: Now,
    ) -> Result<StartPermit, Refusal> {
        let verdict = self.current().admit(channel, admission, now.wall);
        match &verdict {
            Ok(_) if admission == Admission::Start => self.shared.memory().start_closed = None,
            Ok(_) => {}
            Err(refusal) => self.before_refusing(refusal, now).await,
        }
        verdict
    }

    /// The same question for any other operation.
    pub async fn check(&self, operation: Operation, now: Now) -> Result<(), Refusal> {
        match self.current().decide(operation, now.wall) {
            Verdict::Allow { .. } => Ok(()),
            Verdict::Refuse(refusal) => {
                self.before_refusing(&refusal, now).await;
                Err(refusal)
            }
        }
    }

    /// The policy in force, and every later one.
    pub fn policy(&self) -> watch::Receiver<Arc<Policy>> {
        self.shared.policy.subscribe()
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.policy.borrow())
    }

    /// From now on no publisher is taken.
    pub fn set_draining(&self) {
        self.change(Policy::draining);
    }

    /// Replaces the schedule of a running server. A closing that comes nearer than the notice
    /// allows leaves everything as it was.
    pub async fn reload(&self, schedule: Option<Schedule>, now: Now) -> Result<(), Shortened> {
        let policy = self.current();
        if let (Some(previous), Some(next)) = (policy.schedule(), &schedule) {
            next.check_shortening(previous, now.wall)?;
        }
        let tz_database = tz_version();
        self.change(|policy| policy.with_schedule(schedule).with_tz_database(tz_database));
        self.declare(now.wall).await;
        // What cannot be read now is read by a look.
        let _ = self.tell_history().await;
        Ok(())
    }

    /// Stores a turn that has passed and, now and then, the time; hears of a reopening, which is
    /// another process' write and shows in the `revision` of the store. To be called once a
    /// second: however the clock was stepped, it is found out then.
    pub async fn look(&self, revision: i64, now: Now) {
        self.hear(revision).await;
        self.remember(now).await;
        if self.current().is_start_closed(now.wall) {
            self.shared.memory().start_closed.get_or_insert(now.mono);
        }
        if self.shared.memory().is_mark_due(now.mono) {
            self.mark(now).await;
        }
    }

    /// Says that nothing is live: after the closing that makes the service read-only, once no
    /// broadcast that was permitted before can begin any more: `permit_time_max` after a look saw
    /// the closing, however the calendar was set meanwhile.
    pub async fn note_nothing_live(&self, permit_time_max: Duration, now: Now) {
        let closed = self.shared.memory().start_closed;
        if closed.is_none_or(|at| now.mono.since(at) < permit_time_max) {
            return;
        }
        if self.change_latch(|policy| policy.latch_empty(now.wall)) {
            tracing::info!("the last broadcast has ended; the service is read-only");
            self.remember(now).await;
        }
    }

    /// Moves the high-water mark.
    pub async fn mark(&self, now: Now) {
        let moved = self.change_latch(|policy| policy.latch_at(now.wall));
        if moved && self.shared.store.is_some() {
            let until = Instant::now() + SAVE_TIME_MAX;
            let Some(_turn) = self.turn_to_save(until).await else { return };
            self.save(until, now).await;
        }
    }

    async fn before_refusing(&self, refusal: &Refusal, now: Now) {
        if refusal.as_closed().is_some() {
            self.remember(now).await;
        }
    }

    /// Makes sure that a passed turn is on the disk.
    async fn remember(&self, now: Now) {
        self.change_latch(|policy| policy.latch_due(now.wall));
        if self.shared.store.is_none() || !self.is_unsaved(now) {
            return;
        }
        let until = Instant::now() + SAVE_TIME_MAX;
        let Some(_turn) = self.turn_to_save(until).await else { return };
        if self.is_unsaved(now) {
            self.save(until, now).await;
        }
    }

    /// `None` where another's writing takes longer; it says so itself.
    async fn turn_to_save(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        time::timeout_at(until, self.shared.saving.acquire()).await.ok()?.ok()
    }

    fn is_unsaved(&self, now: Now) -> bool {
        let memory = self.shared.memory();
        let paused = memory.failed.is_some_and(|at| now.mono.since(at) < SAVE_PAUSE);
        memory.stored != self.current().latch().reached && !paused
    }

    /// Stores the latch as it is. The caller has the turn to save.
    async fn save(&self, until: Instant, now: Now) {
        let Some(store) = &self.shared.store else { return };
        let latch = *self.current().latch();
        let (stored, generation) = {
            let memory = self.shared.memory();
            (memory.stored, memory.generation)
        };
        let news = latch.reached.filter(|reached| stored != Some(*reached));
        let entry = news.map(|reached| closing_entry(reached, now.wall));
        let record = record_of(&latch, generation);
        let saving = async {
            let saved = store.save_latch(&record, entry.as_ref()).await?;
            if saved == Saved::Superseded {
                self.load_latch().await?;
            }
            Ok::<_, StoreError>(saved)
        };
        let saved = time::timeout_at(until, saving).await;
        let failed = |error: &str| {
            tracing::error!(
                error,
                "the latch could not be stored; the gate is closed all the same"
            );
            self.shared.memory().failed = Some(now.mono);
        };
        match saved {
            Ok(Ok(Saved::Stored)) => {
                let mut memory = self.shared.memory();
                memory.stored = latch.reached;
                memory.failed = None;
            }
            Ok(Ok(Saved::Superseded)) => {}
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("no answer in time"),
        }
    }

    async fn hear(&self, revision: i64) {
        if self.shared.memory().revision == Some(revision) {
            return;
        }
        let hearing = async {
            if let Ok(_turn) = self.shared.saving.acquire().await {
                self.load_latch().await?;
            }
            self.tell_history().await
        };
        // What was not heard whole in time the next look asks for again.
        if let Ok(Ok(())) = time::timeout(SAVE_TIME_MAX, hearing).await {
            self.shared.memory().revision = Some(revision);
        }
    }

    /// Takes the stored latch over if it is of a later generation. The caller has the turn to
    /// save, so that nobody stores the old latch under the new generation in between.
    async fn load_latch(&self) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        let record = store.latch().await?;
        let latch = latch_of(&record);
        {
            let mut memory = self.shared.memory();
            if record.generation <= memory.generation {
                return Ok(());
            }
            memory.generation = record.generation;
            memory.stored = latch.reached;
        }
        tracing::warn!("the gate was reopened by an operator");
        self.change(|policy| policy.with_latch(latch));
        Ok(())
    }

    /// Appends the schedule to the public history unless its last entry already says so.
    async fn declare(&self, now: WallTime) {
        let Some(store) = &self.shared.store else { return };
        let text = self.current().describe_schedule();
        let recorded = match store.gate_log().await {
            Ok(log) => last_declared(&log).map(str::to_owned),
            Err(error) => {
                tracing::error!(%error, "the history of the schedule cannot be read");
                return;
            }
        };
        // A server that never had a schedule has no history.
        let same = recorded.as_deref() == Some(&*text);
        if same || (recorded.is_none() && self.current().schedule().is_none()) {
            return;
        }
        let entry = GateEntry { at: now, kind: GateEntryKind::Declared, text };
        if let Err(error) = store.log_gate(&entry).await {
            tracing::error!(%error, "the change of the schedule could not be recorded");
        }
    }

    async fn tell_history(&self) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        let history = super::history(&**store).await?;
        if *history != *self.current().history() {
            self.change(|policy| policy.with_history(history));
        }
        Ok(())
    }

    fn change(&self, how: impl FnOnce(Policy) -> Policy) {
        self.shared.policy.send_modify(|policy| *policy = Arc::new(how((**policy).clone())));
    }

    /// Moves the latch on, if `next` says so of the policy in force: one that was computed from an
    /// older policy could undo what another task has remembered since.
    fn change_latch(&self, next: impl FnOnce(&Policy) -> Option<Latch>) -> bool {
        self.shared.policy.send_if_modified(|policy| {
            let Some(latch) = next(policy) else { return false };
            *policy = Arc::new((**policy).clone().with_latch(latch));
            true
        })
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Whether the time is to be stored now; a yes counts as done.
    fn is_mark_due(&mut self, now: MonoTime) -> bool {
        let due = self.marked.is_none_or(|at| MARK_EVERY <= now.since(at));
        if due {
            self.marked = Some(now);
        }
        due
    }
}

#[cfg(test)]
#[path = "gatekeeper_tests.rs"]
mod tests;
