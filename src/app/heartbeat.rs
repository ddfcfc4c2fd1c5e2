//! The one heartbeat of a server at rest. Once a second it looks at whatever changes without anybody
//! in this process doing it: the records, which another process may have written, and the calendar,
//! which somebody may have set. Then it ends what nobody is connected to any more: a broadcast that
//! waits for its publisher when its key is revoked or when the service closes. A connected
//! publisher is told by its own connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Gatekeeper, Keys};
use crate::base::{Clock, KeyId, Now, WallTime};
use crate::gate::{Operation, Policy, Refusal, Verdict};
use crate::hub::{BroadcastState, EndReason, Registry};

/// A revocation is to be felt within two seconds, and one look may take a moment.
const BEAT: Duration = Duration::from_secs(1);

/// Whatever is looked at.
#[derive(Debug)]
pub struct Heartbeat {
    pub keys: Keys,
    pub gatekeeper: Gatekeeper,
    pub registry: Registry,
    pub clock: Arc<dyn Clock>,
    /// How long a broadcast may take to begin once it is permitted.
    pub permit_time_max: Duration,
}

impl Heartbeat {
    /// Beats until `stop`, and writes down then what is left to write: what the gate must remember
    /// first, since there is little time. A beat that is cut short loses nothing.
    pub async fn run(self, stop: CancellationToken) {
        let beating = async {
            loop {
                time::sleep(BEAT).await;
                self.beat().await;
            }
        };
        let _: Option<Infallible> = stop.run_until_cancelled(beating).await;
        self.gatekeeper.mark(self.clock.now()).await;
        self.keys.note_use().await;
    }

    async fn beat(&self) {
        let now = self.clock.now();
        if self.registry.broadcasts().is_empty() {
            self.keys.look_at_rest(now).await;
        } else {
            self.keys.look(now).await;
        }
        // Before the disk is waited for again: this needs only what is known.
        self.end_waiting(now);
        self.gatekeeper.look(self.keys.revision(), now).await;
        if self.registry.broadcasts().is_empty() {
            self.gatekeeper.note_nothing_live(self.permit_time_max, now).await;
        }
    }

    /// Ends every broadcast whose publisher is away and may not come back.
    fn end_waiting(&self, now: Now) {
        let policy = self.gatekeeper.current();
        for broadcast in self.registry.broadcasts() {
            if !matches!(broadcast.state(), BroadcastState::Away { .. }) {
                continue;
            }
            let key = broadcast.publisher().key;
            if let Some(reason) = ended_by(&self.keys, &policy, &key, now.wall) {
                broadcast.end(reason);
            }
        }
    }
}

/// Why a publisher with this key can never come back, if so.
fn ended_by(keys: &Keys, policy: &Policy, key: &KeyId, now: WallTime) -> Option<EndReason> {
    if !keys.is_active(key) {
        return Some(EndReason::KeyRevoked);
    }
    match policy.decide(Operation::Resume, now) {
        Verdict::Refuse(Refusal::BroadcastsClosed(_)) => Some(EndReason::ServiceClosed),
        Verdict::Refuse(_) | Verdict::Allow { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::accounts::testing::Switched;
    use crate::accounts::{Issued, issue_key};
    use crate::base::{BroadcastId, ChannelId, ConnId, Limits, Rival};
    use crate::gate::{Admission, Latch, Schedule, ScheduleSettings};
    use crate::hub::{self, Publisher};
    use crate::store::{self, Store};
    use crate::testing::clock::RuntimeClock;

    const NOW: Now = Now {
        mono: crate::base::MonoTime::ZERO,
        wall: WallTime::from_unix_millis(1_790_000_000_000),
    };

    /// Runs on and can be set forward.
    #[derive(Debug)]
    struct SetForward {
        inner: RuntimeClock,
        by_millis: AtomicU64,
    }

    impl Clock for SetForward {
        fn now(&self) -> Now {
            let now = self.inner.now();
            let by = Duration::from_millis(self.by_millis.load(Ordering::Relaxed));
            Now { wall: now.wall + by, ..now }
        }
    }

    /// A beating heart, and a broadcast whose publisher is away.
    struct Scene {
        store: Arc<Switched>,
        key: Issued,
        keys: Keys,
        registry: Registry,
        channel: ChannelId,
        clock: Arc<SetForward>,
        stop: CancellationToken,
        begun: time::Instant,
    }

    impl Scene {
        async fn new(schedule: Option<Schedule>) -> Self {
            let store = Switched::on();
            let channel = ChannelId::parse("studio").expect("a good name");
            let key = issue_key(&*store, &channel, "", Rival::default(), None, NOW.wall)
                .await
                .expect("issued");
            let clock = Arc::new(SetForward {
                inner: RuntimeClock::starting_at(NOW.wall),
                by_millis: AtomicU64::new(0),
            });
            let now = clock.now();
            let keys = Keys::open(store.clone(), now).await.expect("open");
            let gatekeeper = Gatekeeper::open(store.clone(), schedule, None, now).await;
            let gatekeeper = gatekeeper.expect("open");
            let settings = hub::Settings { resume_window: Duration::from_secs(3_600) };
            let registry = Registry::new(Limits::default(), settings, BroadcastId::new(1));
            let permit = gatekeeper.admit(&channel, Admission::Start, now).await.expect("open");
            let peer = "127.0.0.1:1".parse().expect("an address");
            let publisher = Publisher {
                conn: ConnId(1),
                key: key.id.clone(),
                rival: Rival::default(),
                peer,
                encoder: None,
            };
            drop(registry.start(permit, publisher, now).expect("free"));
            let stop = CancellationToken::new();
            let heartbeat = Heartbeat {
                keys: keys.clone(),
                gatekeeper,
                registry: registry.clone(),
                clock: clock.clone(),
                permit_time_max: Limits::default().permit_time_max(),
            };
            TaskTracker::new().spawn(heartbeat.run(stop.clone()));
            let begun = time::Instant::now();
            Self { store, key, keys, registry, channel, clock, stop, begun }
        }

        /// What became of the broadcast within two seconds.
        async fn ended(&self) -> Option<EndReason> {
            let broadcast = self.registry.find(&self.channel).expect("it waits");
            time::sleep(Duration::from_secs(2)).await;
            match broadcast.state() {
                BroadcastState::Ended(reason) => Some(reason),
                BroadcastState::Live | BroadcastState::Away { .. } => None,
            }
        }
    }

    /// W38: a revocation by another process is told to those who publish, and ends what waits for
    /// a publisher, within two seconds.
    #[tokio::test(start_paused = true)]
    async fn a_revocation_is_felt_within_two_seconds() {
        let scene = Scene::new(None).await;
        assert_eq!(scene.ended().await, None);
        let mut revoked = scene.keys.revoked();
        scene.store.revoke_key(&scene.key.id, NOW.wall).await.expect("revoked");
        assert_eq!(scene.ended().await, Some(EndReason::KeyRevoked));
        assert_eq!(revoked.try_recv(), Ok(scene.key.id.clone()));
    }

    /// W38: so is one whose write shows no sign in the file.
    #[tokio::test(start_paused = true)]
    async fn a_revocation_without_a_sign_is_felt() {
        let scene = Scene::new(None).await;
        time::sleep(Duration::from_secs(30)).await;
        scene.store.freeze_stamp();
        scene.store.revoke_key(&scene.key.id, NOW.wall).await.expect("revoked");
        assert_eq!(scene.ended().await, Some(EndReason::KeyRevoked));
    }

    /// G6 and G7: a clock that is set forward past the closing closes within two seconds, and
    /// that is remembered, although nobody asks.
    #[tokio::test(start_paused = true)]
    async fn a_clock_set_forward_is_noticed() {
        let schedule = closing_in(Duration::from_secs(86_400), "cut");
        let scene = Scene::new(schedule).await;
        assert_eq!(scene.ended().await, None);
        scene.clock.by_millis.store(86_400_000, Ordering::Relaxed);
        assert_eq!(scene.ended().await, Some(EndReason::ServiceClosed));
        let latch = scene.store.latch().await.expect("a latch");
        assert_eq!(latch.reached.expect("closed").turn, "finish_until");
    }

    /// The service turns read-only when the last broadcast has ended after the closing, but not
    /// while one that was permitted before it may still begin (G2).
    #[tokio::test(start_paused = true)]
    async fn the_last_end_makes_the_service_read_only() {
        let hour = Duration::from_secs(3_600);
        let scene = Scene::new(closing_in(hour * 24, "finish")).await;
        scene.clock.by_millis.store(24 * 3_600_000, Ordering::Relaxed);
        let reached = async || {
            let latch = scene.store.latch().await.expect("a latch");
            latch.reached.map(|reached| reached.turn)
        };
        assert_eq!(scene.ended().await, None, "it may come back");
        time::sleep(hour / 2).await;
        assert_eq!(reached().await.as_deref(), Some("publish_close_at"));
        scene.registry.find(&scene.channel).expect("a broadcast").end(EndReason::Finished);
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(reached().await.as_deref(), Some("finish_until"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_permitted_may_still_begin() {
        let scene = Scene::new(closing_in(Duration::from_secs(10), "finish")).await;
        scene.registry.find(&scene.channel).expect("a broadcast").end(EndReason::Finished);
        let turn_at = async |seconds: u64| {
            time::sleep_until(scene.begun + Duration::from_secs(seconds)).await;
            let latch = scene.store.latch().await.expect("a latch");
            latch.reached.map(|reached| reached.turn)
        };
        let permit = Limits::default().permit_time_max().as_secs();
        assert_eq!(turn_at(9).await, None);
        assert_eq!(turn_at(10 + permit - 1).await.as_deref(), Some("publish_close_at"));
        assert_eq!(turn_at(10 + permit + 2).await.as_deref(), Some("finish_until"));
    }

    /// D20: the last beat stores how late it was.
    #[tokio::test(start_paused = true)]
    async fn the_time_is_stored_at_the_end() {
        let scene = Scene::new(closing_in(Duration::from_secs(86_400), "cut")).await;
        time::sleep(Duration::from_secs(30)).await;
        scene.stop.cancel();
        time::sleep(Duration::from_millis(1)).await;
        let stored = scene.store.latch().await.expect("a latch").high_water;
        assert_eq!(stored, Some(NOW.wall + Duration::from_secs(30)));
    }

    /// D20: a disk that stalls at the end is asked to store the time before anything else, and a
    /// beat that waits for it is not waited for.
    #[tokio::test(start_paused = true)]
    async fn the_time_is_stored_first_at_the_end() {
        let scene = Scene::new(closing_in(Duration::from_secs(86_400), "cut")).await;
        time::sleep(Duration::from_secs(30)).await;
        scene.keys.resolve(&scene.key.text, scene.clock.now()).await.expect("a good key");
        scene.store.stall(true);
        // Everything is read again after a minute: by now a beat waits for that.
        time::sleep_until(scene.begun + Duration::from_millis(60_500)).await;
        let saves = scene.store.saves();
        scene.stop.cancel();
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(scene.store.saves(), saves + 1);
    }

    fn closing_in(length: Duration, policy: &str) -> Option<Schedule> {
        let settings = ScheduleSettings {
            publish_close_at: Some((NOW.wall + length).to_string()),
            policy: Some(policy.to_owned()),
            ..ScheduleSettings::default()
        };
        Schedule::build(&settings).expect("in order")
    }

    fn closed(policy: &str) -> Policy {
        Policy::new(closing_in(Duration::ZERO, policy), Latch::default())
    }

    /// W38 and G5: who waits for its publisher ends when the publisher may not come back.
    #[tokio::test]
    async fn a_revoked_key_and_a_cut_end_what_waits() {
        let store = store::in_memory();
        let channel = ChannelId::parse("studio").expect("a good name");
        let issued = issue_key(&*store, &channel, "", Rival::default(), None, NOW.wall)
            .await
            .expect("issued");
        let keys = Keys::open(store.clone(), NOW).await.expect("open");
        let open = Policy::new(None, Latch::default());
        assert_eq!(ended_by(&keys, &open, &issued.id, NOW.wall), None);
        assert_eq!(ended_by(&keys, &closed("finish"), &issued.id, NOW.wall), None);
        let cut = ended_by(&keys, &closed("cut"), &issued.id, NOW.wall);
        assert_eq!(cut, Some(EndReason::ServiceClosed));

        store.revoke_key(&issued.id, NOW.wall).await.expect("revoked");
        let keys = Keys::open(store, NOW).await.expect("open");
        let revoked = ended_by(&keys, &open, &issued.id, NOW.wall);
        assert_eq!(revoked, Some(EndReason::KeyRevoked));
    }
}
