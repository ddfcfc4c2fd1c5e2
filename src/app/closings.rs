//! Ends what nobody is connected to any more: a broadcast that waits for its publisher when its key
//! is revoked or when the service closes. A connected publisher is told by its own connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Gatekeeper, Keys};
use crate::base::{Clock, KeyId, WallTime};
use crate::gate::{Operation, Policy, Refusal, Verdict};
use crate::hub::{BroadcastState, EndReason, Registry};

/// How often is looked; a revocation is to be felt within two seconds.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(
    registry: Registry,
    keys: Keys,
    gatekeeper: Gatekeeper,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(time::sleep(LOOK)).await.is_some() {
        let (policy, now) = (gatekeeper.current(), clock.now().wall);
        for broadcast in registry.broadcasts() {
            if !matches!(broadcast.state(), BroadcastState::Away { .. }) {
                continue;
            }
            if let Some(reason) = ended_by(&keys, &policy, &broadcast.publisher().key, now) {
                registry.end(broadcast.channel(), reason);
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
    use super::*;
    use crate::accounts::issue_key;
    use crate::base::{ChannelId, Now};
    use crate::gate::{Latch, Schedule, ScheduleSettings};
    use crate::store;

    const NOW: Now = Now {
        mono: crate::base::MonoTime::ZERO,
        wall: WallTime::from_unix_millis(1_790_000_000_000),
    };

    fn closing(policy: &str) -> Policy {
        let settings = ScheduleSettings {
            publish_close_at: Some(NOW.wall.to_string()),
            policy: Some(policy.to_owned()),
            ..ScheduleSettings::default()
        };
        Policy::new(Schedule::build(&settings).expect("in order"), Latch::default())
    }

    /// W38 and G5: who waits for its publisher ends when the publisher may not come back.
    #[tokio::test]
    async fn a_revoked_key_and_a_cut_end_what_waits() {
        let store = store::in_memory();
        let channel = ChannelId::parse("studio").expect("a good name");
        let issued = issue_key(&*store, &channel, "", None, NOW.wall).await.expect("issued");
        let keys = Keys::open(store.clone(), NOW).await.expect("open");
        let open = Policy::new(None, Latch::default());
        assert_eq!(ended_by(&keys, &open, &issued.id, NOW.wall), None);
        assert_eq!(ended_by(&keys, &closing("finish"), &issued.id, NOW.wall), None);
        let cut = ended_by(&keys, &closing("cut"), &issued.id, NOW.wall);
        assert_eq!(cut, Some(EndReason::ServiceClosed));

        store.revoke_key(&issued.id, NOW.wall).await.expect("revoked");
        let keys = Keys::open(store, NOW).await.expect("open");
        let revoked = ended_by(&keys, &open, &issued.id, NOW.wall);
        assert_eq!(revoked, Some(EndReason::KeyRevoked));
    }
}
