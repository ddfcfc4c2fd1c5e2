use super::super::issue_key;
use super::super::testing::{Switched, now};
use super::*;
use crate::base::{Rival, WallTime};

const DAY: u64 = 24 * 3600;

async fn with_key(store: &Arc<Switched>) -> (Keys, KeyId, Secret) {
    let channel = ChannelId::parse("demo").unwrap();
    let at = WallTime::from_unix_millis(1);
    let issued = issue_key(&**store, &channel, "", Rival::Refused, None, at).await.unwrap();
    let keys = Keys::open(store.clone(), now(0, 0)).await.unwrap();
    (keys, issued.id, issued.text)
}

#[tokio::test]
async fn a_key_opens_its_channel_and_the_use_is_noted() {
    let store = Switched::on();
    let (keys, id, text) = with_key(&store).await;
    let grant = keys.resolve(&text, now(1, 77)).await.unwrap();
    assert_eq!((grant.channel.as_str(), &grant.key), ("demo", &id));
    assert_eq!(grant.rival, Rival::Refused, "as the owner chose");
    assert!(keys.has_channel(&grant.channel) && keys.is_active(&id));
    assert_eq!(keys.channels(), [grant.channel]);
    keys.note_use().await;
    assert_eq!(store.keys().await.unwrap()[0].last_used_at, Some(WallTime::from_unix_millis(77)));
    assert!(keys.shared.used().is_empty());
}

/// R42, W34: one answer for everything that is wrong with a key.
#[tokio::test]
async fn unknown_wrong_and_revoked_are_the_same_answer() {
    let store = Switched::on();
    let (keys, id, text) = with_key(&store).await;
    store.revoke_key(&id, WallTime::from_unix_millis(2)).await.unwrap();
    keys.look(now(1, 0)).await;
    let other = format!("{id}_{}", "a".repeat(32));
    let wrong = [text.reveal(), &other, "aaaaaaaa_bbbb", "no key", "", &"x_".repeat(100)];
    for wrong in wrong {
        let answer = keys.resolve(&Secret::new(wrong), now(1, 0)).await;
        assert_eq!(answer, Err(KeyError::Unknown), "{wrong}");
    }
}

/// Another process adds a key: it works at once, since an unknown key is looked for again.
#[tokio::test]
async fn a_key_added_a_moment_ago_works() {
    let store = Switched::on();
    let (keys, _, _) = with_key(&store).await;
    let channel = ChannelId::parse("later").unwrap();
    let at = WallTime::from_unix_millis(5);
    let issued = issue_key(&*store, &channel, "", Rival::default(), None, at).await.unwrap();
    assert!(!keys.has_channel(&channel));
    assert_eq!(keys.resolve(&issued.text, now(1, 0)).await.unwrap().channel, channel);
    assert!(keys.has_channel(&channel));
}

/// W38: a revocation by another process is told to whoever listens, once.
#[tokio::test]
async fn a_revocation_is_told() {
    let store = Switched::on();
    let (keys, id, text) = with_key(&store).await;
    let mut revoked = keys.revoked();
    store.revoke_key(&id, WallTime::from_unix_millis(2)).await.unwrap();
    assert!(keys.is_active(&id), "not before it was looked at");
    keys.look(now(1, 0)).await;
    assert_eq!(revoked.try_recv(), Ok(id.clone()));
    assert!(!keys.is_active(&id));
    keys.look(now(2, 0)).await;
    revoked.try_recv().expect_err("told once");
    assert_eq!(keys.resolve(&text, now(2, 0)).await, Err(KeyError::Unknown));
}

/// Times of use reach the store without a write for each of them.
#[tokio::test]
async fn uses_are_written_now_and_then() {
    let store = Switched::on();
    let (keys, _, text) = with_key(&store).await;
    keys.resolve(&text, now(1, 77)).await.unwrap();
    keys.look(now(9, 0)).await;
    assert_eq!(store.keys().await.unwrap()[0].last_used_at, None);
    keys.look(now(10, 0)).await;
    assert!(store.keys().await.unwrap()[0].last_used_at.is_some());
}

/// Where nothing is live and nothing is written the store is asked once a minute, and a write is
/// seen all the same.
#[tokio::test]
async fn a_store_at_rest_is_left_alone() {
    let store = Switched::on();
    let (keys, id, text) = with_key(&store).await;
    for second in 1..=30 {
        keys.look_at_rest(now(second, 0)).await;
    }
    let before = store.questions();
    for second in 31..=59 {
        keys.look_at_rest(now(second, 0)).await;
    }
    assert_eq!(store.questions(), before, "nothing was written");
    assert!(keys.resolve(&text, now(59, 0)).await.is_ok());
    store.revoke_key(&id, WallTime::from_unix_millis(2)).await.unwrap();
    keys.look_at_rest(now(59, 500)).await;
    assert!(!keys.is_active(&id), "the first look after it");
    for second in 60..=200 {
        keys.look_at_rest(now(second, 0)).await;
    }
    let asked = store.questions() - before;
    assert!((11..30).contains(&asked), "{asked}");
}

/// W38: while something is live a revocation is seen although the file shows no sign of it, as with
/// a write that can be read long after its sign.
#[tokio::test]
async fn a_revocation_without_a_sign_is_seen() {
    let store = Switched::on();
    let (keys, id, _) = with_key(&store).await;
    for second in 1..=30 {
        keys.look_at_rest(now(second, 0)).await;
    }
    store.freeze_stamp();
    store.revoke_key(&id, WallTime::from_unix_millis(2)).await.unwrap();
    keys.look_at_rest(now(31, 0)).await;
    assert!(keys.is_active(&id), "there is no sign");
    keys.look(now(32, 0)).await;
    assert!(!keys.is_active(&id));
}

/// R43, D48: while the store is down known keys work for a day; others are asked to come back.
#[tokio::test]
async fn known_keys_outlive_the_store_by_a_day() {
    let store = Switched::on();
    let (keys, id, text) = with_key(&store).await;
    keys.look(now(10, 0)).await;
    store.switch(true);
    keys.look(now(11, 0)).await;
    let unknown = Secret::new("aaaaaaaa_bbbb");
    assert_eq!(keys.resolve(&text, now(12, 0)).await.unwrap().key, id);
    assert_eq!(keys.resolve(&unknown, now(12, 0)).await, Err(KeyError::TryLater));
    assert!(keys.resolve(&text, now(10 + DAY, 0)).await.is_ok());
    assert_eq!(keys.resolve(&text, now(11 + DAY, 0)).await, Err(KeyError::TryLater));
    store.switch(false);
    keys.look(now(12 + DAY, 0)).await;
    assert!(keys.resolve(&text, now(12 + DAY, 0)).await.is_ok(), "back again");
    assert_eq!(keys.resolve(&unknown, now(12 + DAY, 0)).await, Err(KeyError::Unknown));
}

/// W36, W37: at rest there is a hash, and nothing prints the secret.
#[tokio::test]
async fn the_secret_is_nowhere() {
    let store = Switched::on();
    let (keys, _, text) = with_key(&store).await;
    let secret = text.reveal().split_once('_').unwrap().1;
    let record = store.keys().await.unwrap().remove(0);
    assert_ne!(record.mac.as_slice(), secret.as_bytes());
    let printed = format!("{keys:?} {record:?} {text:?} {text}");
    assert!(!printed.contains(secret));
}
