use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::memory::{closing_entry, last_declared, latch_of, record_of};
use crate::base::{ChannelId, Clock, MonoTime, Now, WallTime};
use crate::gate::{
    Admission, Latch, Operation, Policy, Reached, Refusal, Schedule, Shortened, StartPermit,
    Verdict,
};
use crate::store::{GateEntry, GateEntryKind, LatchRecord, Saved, Store, StoreError};

/// How often turns and reopenings are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the latest wall time is stored.
const MARK_EVERY: Duration = Duration::from_secs(60);
/// How long a refusal waits for the latch to reach the disk before it goes out all the same.
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
    revision: Option<i64>,
    failed: Option<MonoTime>,
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
        let gatekeeper = Self::new(policy, Some(store), record);
        gatekeeper.declare(now.wall).await;
        gatekeeper.tell_history().await;
        gatekeeper.remember(now).await;
        Ok(gatekeeper)
    }

    fn new(policy: Policy, store: Option<Arc<dyn Store>>, record: LatchRecord) -> Self {
        let memory = Memory {
            stored: policy.latch().reached,
            generation: record.generation,
            revision: None,
            failed: None,
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
        if let Err(refusal) = &verdict {
            self.before_refusing(refusal, now).await;
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
        self.change(|policy| policy.with_schedule(schedule));
        self.declare(now.wall).await;
        self.tell_history().await;
        Ok(())
    }

    /// Stores turns as they pass and the time as it goes, and hears of a reopening, until `stop`.
    pub async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut marked: Option<MonoTime> = None;
        loop {
            let now = clock.now();
            self.hear().await;
            self.remember(now).await;
            if marked.is_none_or(|at| MARK_EVERY <= now.mono.since(at)) {
                marked = Some(now.mono);
                self.mark(now).await;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = time::sleep(LOOK_EVERY) => {}
            }
        }
        self.mark(clock.now()).await;
    }

    async fn before_refusing(&self, refusal: &Refusal, now: Now) {
        if refusal.as_closed().is_some() {
            self.remember(now).await;
        }
    }

    /// Makes sure that a passed turn is on the disk.
    async fn remember(&self, now: Now) {
        if let Some(latch) = self.current().latch_due(now.wall) {
            self.change(|policy| policy.with_latch(latch));
        }
        if self.shared.store.is_none() || !self.is_unsaved(now) {
            return;
        }
        let Ok(_turn) = self.shared.saving.acquire().await else { return };
        if self.is_unsaved(now) {
            let latch = *self.current().latch();
            self.save(latch, now).await;
        }
    }

    /// Moves the high-water mark.
    async fn mark(&self, now: Now) {
        let Some(latch) = self.current().latch_at(now.wall) else { return };
        self.change(|policy| policy.with_latch(latch));
        if self.shared.store.is_some() {
            let Ok(_turn) = self.shared.saving.acquire().await else { return };
            self.save(latch, now).await;
        }
    }

    fn is_unsaved(&self, now: Now) -> bool {
        let memory = self.shared.memory();
        let paused = memory.failed.is_some_and(|at| now.mono.since(at) < SAVE_PAUSE);
        memory.stored != self.current().latch().reached && !paused
    }

    async fn save(&self, latch: Latch, now: Now) {
        let Some(store) = &self.shared.store else { return };
        let (stored, generation) = {
            let memory = self.shared.memory();
            (memory.stored, memory.generation)
        };
        let news = latch.reached.filter(|reached| stored != Some(*reached));
        let entry = news.map(|reached| closing_entry(reached, now.wall));
        let record = record_of(&latch, generation);
        let saved = time::timeout(SAVE_TIME_MAX, store.save_latch(&record, entry.as_ref())).await;
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
            Ok(Ok(Saved::Superseded)) => self.load_latch().await,
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("no answer in time"),
        }
    }

    /// A reopening by an operator's command is another process' write.
    async fn hear(&self) {
        let Some(store) = &self.shared.store else { return };
        let Ok(revision) = store.revision().await else { return };
        let heard = self.shared.memory().revision.replace(revision);
        if heard == Some(revision) {
            return;
        }
        self.load_latch().await;
        self.tell_history().await;
    }

    /// Takes the stored latch over if it is of a later generation.
    async fn load_latch(&self) {
        let Some(store) = &self.shared.store else { return };
        let Ok(record) = store.latch().await else { return };
        let latch = latch_of(&record);
        {
            let mut memory = self.shared.memory();
            if record.generation <= memory.generation {
                return;
            }
            memory.generation = record.generation;
            memory.stored = latch.reached;
        }
        tracing::warn!("the gate was reopened by an operator");
        self.change(|policy| policy.with_latch(latch));
    }

    /// Appends the schedule to the public history unless its last entry already says so.
    async fn declare(&self, now: WallTime) {
        let Some(store) = &self.shared.store else { return };
        let text = self.current().describe_schedule(tz_version().as_deref());
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

    async fn tell_history(&self) {
        let Some(store) = &self.shared.store else { return };
        let Ok(history) = super::history(&**store).await else { return };
        if *history != *self.current().history() {
            self.change(|policy| policy.with_history(history));
        }
    }

    fn change(&self, how: impl FnOnce(Policy) -> Policy) {
        self.shared.policy.send_modify(|policy| *policy = Arc::new(how((**policy).clone())));
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of the machine's time zone rules; instants computed under other rules may differ.
fn tz_version() -> Option<String> {
    let rules = std::fs::read_to_string("/usr/share/zoneinfo/tzdata.zi").ok()?;
    let version = rules.lines().next()?.strip_prefix("# version ")?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
#[path = "gatekeeper_tests.rs"]
mod tests;
