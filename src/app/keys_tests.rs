use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::{Clock, ShiftedClock, SystemClock};
use crate::gate::{DeclaredInstant, Schedule, ScheduleSettings};

fn inputs(folder: &Path, schedule: Option<Schedule>, now: &str) -> Inputs {
    let now = DeclaredInstant::parse(now).unwrap().at();
    let clock: Arc<dyn Clock> = Arc::new(ShiftedClock::starting_at(SystemClock::new(), now));
    Inputs { data: folder.to_owned(), schedule, clock, built: None }
}

#[tokio::test]
async fn a_key_is_added_listed_rotated_and_revoked() {
    let place = tempfile::tempdir().unwrap();
    let inputs = inputs(place.path(), None, "2026-11-21T10:00:00Z");
    let command = Command::open(&inputs).await.unwrap();
    let text = command.add_key("demo", "the studio", Rival::Refused).await.unwrap();
    let (id, secret) = text.trim_end().split_once('_').unwrap();
    assert_eq!(text.lines().count(), 1, "the key alone");

    let list = key_table(&command.list_keys(None).await.unwrap());
    assert!(list.contains(id) && list.contains("the studio") && !list.contains(secret), "{list}");
    assert!(list.lines().next().unwrap().starts_with("KEY       CHANNEL  CREATED"), "{list}");
    assert_eq!(command.list_keys(Some("other")).await.unwrap(), []);

    let second = command.rotate_key(id, OldKey::Stays).await.unwrap();
    assert_ne!(second, text);
    assert_eq!(active(&command).await, 2);
    command.rotate_key(id, OldKey::Ends).await.unwrap();
    assert_eq!(active(&command).await, 2);
    command.rotate_key(id, OldKey::Stays).await.expect_err("revoked");
    command.revoke_key(second.split_once('_').unwrap().0).await.unwrap();
    assert_eq!(active(&command).await, 1);
    let list = key_table(&command.list_keys(None).await.unwrap());
    let kept = list.matches("refused  the studio").count();
    assert_eq!(kept, 3, "rotated keys are as the first: {list}");
    command.revoke_key("nothing").await.expect_err("unknown");
}

/// What the table shows, for scripts; and a choice about rivals is not for ever.
#[tokio::test]
async fn keys_are_listed_as_json_and_changed() {
    let place = tempfile::tempdir().unwrap();
    let inputs = inputs(place.path(), None, "2026-11-21T10:00:00Z");
    let command = Command::open(&inputs).await.unwrap();
    let text = command.add_key("demo", "\"quoted\"", Rival::TakesOver).await.unwrap();
    let id = text.split_once('_').unwrap().0;
    let listed = async || {
        let keys = command.list_keys(None).await.unwrap();
        serde_json::from_str::<serde_json::Value>(&key_json(&keys)).unwrap()
    };
    let keys = listed().await;
    let expected = serde_json::json!([{
        "key": id, "channel": "demo", "created": keys[0]["created"], "last_used": null,
        "revoked": null, "rival": "takes-over", "label": "\"quoted\"",
    }]);
    assert_eq!(keys, expected);
    command.set_key(id, Rival::Refused).await.unwrap();
    command.revoke_key(id).await.unwrap();
    let keys = listed().await;
    assert_eq!(keys[0]["rival"], "refused");
    assert!(keys[0]["revoked"].as_str().unwrap().starts_with("2026-11-21T10:00"), "{keys}");
    command.set_key("nothing", Rival::Refused).await.expect_err("unknown");
}

async fn active(command: &Command<'_>) -> usize {
    let keys = command.store.keys().await.unwrap();
    keys.iter().filter(|key| key.revoked_at.is_none()).count()
}

/// G17: the gate applies to commands: no key after the announcement, and without a configuration
/// of its own the command goes by what the server recorded.
#[tokio::test]
async fn the_gate_applies_to_commands() {
    let place = tempfile::tempdir().unwrap();
    let settings = ScheduleSettings {
        announced_at: Some("2027-01-01T00:00:00Z".to_owned()),
        publish_close_at: Some("2027-03-01T00:00:00Z".to_owned()),
        ..ScheduleSettings::default()
    };
    let schedule = Schedule::build(&settings).unwrap();
    let before = inputs(place.path(), schedule.clone(), "2026-12-31T23:00:00Z");
    let command = Command::open(&before).await.unwrap();
    let key = command.add_key("demo", "", Rival::TakesOver).await.unwrap();
    let now = before.clock.now();
    let store = Arc::clone(&command.store);
    accounts::Gatekeeper::open(store, schedule, None, now).await.unwrap();

    let announced = inputs(place.path(), None, "2027-01-01T00:00:00Z");
    let command = Command::open(&announced).await.unwrap();
    let refused = command.add_key("demo", "", Rival::TakesOver).await.unwrap_err().to_string();
    assert!(refused.contains("closed since 2027-01-01T00:00:00.000Z"), "{refused}");
    command.add_channel("other").await.expect_err("closed too");
    let id = key.split_once('_').unwrap().0;
    command.rotate_key(id, OldKey::Stays).await.unwrap();

    let closed = inputs(place.path(), None, "2027-03-01T00:00:00Z");
    let command = Command::open(&closed).await.unwrap();
    command.rotate_key(id, OldKey::Stays).await.expect_err("closed");
    assert!(command.store.latch().await.unwrap().reached.is_some(), "remembered (G7)");
    command.revoke_key(id).await.unwrap();
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_made() {
    let place = tempfile::tempdir().unwrap();
    let inputs = inputs(place.path(), None, "2026-11-21T10:00:00Z");
    let command = Command::open(&inputs).await.unwrap();
    for name in ["", "api", "a/b"] {
        command.add_key(name, "", Rival::TakesOver).await.unwrap_err();
        command.add_channel(name).await.unwrap_err();
    }
    command.add_key("demo", "a\nb", Rival::TakesOver).await.unwrap_err();
    command.add_key("demo", &"x".repeat(101), Rival::TakesOver).await.unwrap_err();
    assert_eq!(command.store.channels().await.unwrap(), []);
    command.add_channel("demo").await.unwrap();
    let list = channel_table(&command.store.channels().await.unwrap());
    assert!(list.starts_with("CHANNEL  CREATED\ndemo     2026-"), "{list}");
}
