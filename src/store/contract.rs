//! What every adapter must do. Each function takes a fresh store.

use super::*;

pub(super) async fn check_all<F: AsyncFn() -> Arc<dyn Store>>(fresh: F) {
    channels_and_keys(&*fresh().await).await;
    revoking(&*fresh().await).await;
    the_latch(&*fresh().await).await;
    choosing_anew(&*fresh().await).await;
    the_gate_log(&*fresh().await).await;
    broadcasts(&*fresh().await).await;
    a_write_leaves_a_sign(&*fresh().await).await;
}

async fn a_write_leaves_a_sign(store: &dyn Store) {
    let mut stamps = vec![store.stamp()];
    store.add_key(&key("k1", "a", 1), None).await.unwrap();
    stamps.push(store.stamp());
    assert_eq!(store.keys().await.unwrap().len(), 1);
    assert_eq!(Some(&store.stamp()), stamps.last(), "a reader leaves none");
    store.set_rival(&KeyId::new("k1"), Rival::Refused).await.unwrap();
    stamps.push(store.stamp());
    store.revoke_key(&KeyId::new("k1"), at(2)).await.unwrap();
    stamps.push(store.stamp());
    store.reopen(&entry("again")).await.unwrap();
    stamps.push(store.stamp());
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), 5);
}

fn at(millis: i64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

fn channel(name: &str) -> ChannelId {
    ChannelId::parse(name).unwrap()
}

fn key(id: &str, of: &str, created_at: i64) -> KeyRecord {
    KeyRecord {
        id: KeyId::new(id),
        channel: channel(of),
        mac: [7; 32],
        label: "studio".to_owned(),
        rival: Rival::default(),
        created_at: at(created_at),
        last_used_at: None,
        revoked_at: None,
    }
}

fn entry(text: &str) -> GateEntry {
    GateEntry { at: at(9), kind: GateEntryKind::Declared, text: text.to_owned() }
}

async fn channels_and_keys(store: &dyn Store) {
    assert_eq!(store.create_channel(&channel("b"), at(1)).await.unwrap(), Created::New);
    assert_eq!(store.create_channel(&channel("b"), at(2)).await.unwrap(), Created::Existing);
    store.add_key(&key("k2", "b", 5), None).await.unwrap();
    let refusing = KeyRecord { rival: Rival::Refused, ..key("k1", "a", 6) };
    store.add_key(&refusing, None).await.unwrap();

    let names: Vec<_> = store.channels().await.unwrap();
    let expected = [("a", 6), ("b", 1)]
        .map(|(name, created)| ChannelRecord { id: channel(name), created_at: at(created) });
    assert_eq!(names, expected, "a key makes its channel; an existing one keeps its age");
    assert_eq!(store.keys().await.unwrap(), [refusing, key("k2", "b", 5)]);

    let twice = store.add_key(&key("k1", "c", 7), None).await.unwrap_err();
    assert!(matches!(twice, StoreError::Exists(_)), "{twice}");
    assert_eq!(store.channels().await.unwrap().len(), 2, "all or nothing");

    let pepper = store.pepper().await.unwrap();
    assert_eq!(pepper.0, store.pepper().await.unwrap().0);
    assert_ne!(pepper.0, [0; 32]);
}

async fn revoking(store: &dyn Store) {
    store.add_key(&key("k1", "a", 1), None).await.unwrap();
    store.add_key(&key("k2", "a", 2), Some(&KeyId::new("k1"))).await.unwrap();
    let used = [(KeyId::new("k2"), at(50)), (KeyId::new("unknown"), at(60))];
    store.touch_keys(&used).await.unwrap();
    store.touch_keys(&[(KeyId::new("k2"), at(40))]).await.unwrap();

    let keys = store.keys().await.unwrap();
    assert_eq!(keys[0].revoked_at, Some(at(2)), "rotation with immediate effect");
    assert_eq!((keys[1].revoked_at, keys[1].last_used_at), (None, Some(at(50))));

    assert_eq!(store.revoke_key(&KeyId::new("k2"), at(70)).await.unwrap(), Revoked::Now);
    assert_eq!(store.revoke_key(&KeyId::new("k2"), at(80)).await.unwrap(), Revoked::Before);
    assert_eq!(store.revoke_key(&KeyId::new("k9"), at(80)).await.unwrap(), Revoked::Unknown);
    assert_eq!(store.keys().await.unwrap()[1].revoked_at, Some(at(70)));
}

async fn choosing_anew(store: &dyn Store) {
    for (id, order) in [("k1", 1), ("k2", 2)] {
        store.add_key(&key(id, "a", order), None).await.unwrap();
    }
    for rival in [Rival::Refused, Rival::TakesOver, Rival::Refused] {
        assert!(store.set_rival(&KeyId::new("k2"), rival).await.unwrap());
        let keys = store.keys().await.unwrap();
        assert_eq!((keys[0].rival, keys[1].rival), (Rival::default(), rival));
    }
    assert!(!store.set_rival(&KeyId::new("k9"), Rival::Refused).await.unwrap());
}

/// G7: what was closed stays, until a reopening, after which the old memory counts no more.
async fn the_latch(store: &dyn Store) {
    assert_eq!(store.latch().await.unwrap(), LatchRecord::default());
    let reached = Some(ReachedRecord { turn: "publish_close_at".to_owned(), at: at(100) });
    let closed = LatchRecord { reached, high_water: Some(at(105)), generation: 0 };
    assert_eq!(store.save_latch(&closed, Some(&entry("x"))).await.unwrap(), Saved::Stored);
    assert_eq!(store.latch().await.unwrap(), closed);

    let open = store.reopen(&entry("by mistake")).await.unwrap();
    assert_eq!(open, LatchRecord { generation: 1, ..LatchRecord::default() });
    assert_eq!(store.save_latch(&closed, Some(&entry("y"))).await.unwrap(), Saved::Superseded);
    assert_eq!(store.latch().await.unwrap(), open);
    assert_eq!(store.gate_log().await.unwrap().len(), 2, "a lost write leaves no entry");
}

async fn the_gate_log(store: &dyn Store) {
    for text in ["one", "two", "three"] {
        store.log_gate(&entry(text)).await.unwrap();
    }
    let mut log = store.gate_log().await.unwrap();
    let texts: Vec<_> = log.iter().map(|(entry, _)| entry.text.as_str()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert!(chain_is_whole(&log));
    log[1].0.text = "2".to_owned();
    assert!(!chain_is_whole(&log));
    log.remove(1);
    assert!(!chain_is_whole(&log));
}

async fn broadcasts(store: &dyn Store) {
    let first = store.next_broadcast_id(at(1_000));
    assert_eq!(first.number(), 1_000);
    let second = store.next_broadcast_id(at(400));
    assert_eq!(second.number(), 1_001, "a clock that steps back takes no number back");
    let record = BroadcastRecord {
        id: second,
        channel: channel("a"),
        key: KeyId::new("k"),
        started_at: at(400),
    };
    let before = store.revision().await.unwrap();
    store.record_start(&record).await.unwrap();
    store.record_start(&record).await.unwrap();
    store.record_end(second, at(500), "finished").await.unwrap();
    store.record_end(BroadcastId::new(1), at(500), "unknown").await.unwrap();
    assert_ne!(store.revision().await.unwrap(), before, "a reader hears of every write");
}
