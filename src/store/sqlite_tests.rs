use std::sync::Arc;

use super::*;
use crate::store::{contract, open};

fn at(millis: i64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract::check_all(async || {
        number.set(number.get() + 1);
        open(&place.path().join(number.get().to_string())).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::check_all(async || -> Arc<dyn Store> { super::super::in_memory() }).await;
}

/// G7, W38: a second process sees what the first wrote, and numbers go on after a restart.
#[tokio::test]
async fn what_one_process_writes_another_reads() {
    let place = tempfile::tempdir().unwrap();
    let server = open(place.path()).await.unwrap();
    let command = open(place.path()).await.unwrap();
    let (before, stamp) = (server.revision().await.unwrap(), server.stamp());
    assert!(server.keys().await.unwrap().is_empty());
    assert_eq!((server.revision().await.unwrap(), server.stamp()), (before, stamp), "a reader");
    let channel = ChannelId::parse("demo").unwrap();
    command.create_channel(&channel, at(1)).await.unwrap();
    assert_ne!(server.stamp(), stamp, "seen without a question");
    assert_ne!(server.revision().await.unwrap(), before);
    assert_eq!(server.channels().await.unwrap().len(), 1);

    let id = server.next_broadcast_id(at(77));
    let key = KeyId::new("k");
    server.record_start(&BroadcastRecord { id, channel, key, started_at: at(77) }).await.unwrap();
    drop((server, command));
    assert_eq!(open(place.path()).await.unwrap().next_broadcast_id(at(5)).number(), 78);
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let store = Sqlite::open_new(place.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9, 'later', TRUE, X'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.writer.close().await;
    store.reader.close().await;
    let before = std::fs::read(place.path().join("ghostlight.db")).unwrap();
    let error = open(place.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9, known: 2, .. }), "{error}");
    assert_eq!(std::fs::read(place.path().join("ghostlight.db")).unwrap(), before);
}

/// Keys from before there was a choice go on as they did.
#[tokio::test]
async fn a_database_of_the_first_version_is_taken_along() {
    let place = tempfile::tempdir().unwrap();
    super::super::folder::prepare(place.path(), "ghostlight.db").unwrap();
    let path = place.path().join("ghostlight.db");
    let old = one(SqliteConnectOptions::new().filename(path)).await.unwrap();
    let first = migrations().into_iter().take(1).collect();
    Migrator::with_migrations(first).run(&old).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO channels VALUES ('demo', 1); \
         INSERT INTO keys VALUES ('k', 'demo', zeroblob(32), 'studio', 1, NULL, NULL)",
    )
    .execute(&old)
    .await
    .unwrap();
    old.close().await;
    let keys = open(place.path()).await.unwrap().keys().await.unwrap();
    assert_eq!((keys[0].id.as_str(), keys[0].rival), ("k", Rival::TakesOver));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ghostlight.db");
    std::fs::write(&file, "a letter to a friend, longer than one page of a database".repeat(20))
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = open(place.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn the_gate_log_refuses_to_forget() {
    let place = tempfile::tempdir().unwrap();
    let store = Sqlite::open_new(place.path()).await;
    let entry = GateEntry { at: at(1), kind: GateEntryKind::Closed, text: String::new() };
    store.log_gate(&entry).await.unwrap();
    for sql in ["DELETE FROM gate_log", "UPDATE gate_log SET text = 'other'"] {
        let error = sqlx::query(sql).execute(&store.writer).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

/// G7: a write is on the disk, not only in a cache, when it returns.
#[tokio::test]
async fn writes_are_synced() {
    let place = tempfile::tempdir().unwrap();
    let store = Sqlite::open_new(place.path()).await;
    let full: (i64,) = sqlx::query_as("PRAGMA synchronous").fetch_one(&store.writer).await.unwrap();
    assert_eq!(full.0, 2, "FULL");
    let mode: (String,) =
        sqlx::query_as("PRAGMA journal_mode").fetch_one(&store.writer).await.unwrap();
    assert_eq!(mode.0, "wal");
}

/// A full disk is told apart, reading goes on, and numbers need no disk at all.
#[tokio::test]
async fn a_full_disk_is_said() {
    let place = tempfile::tempdir().unwrap();
    let store = Sqlite::open_new(place.path()).await;
    sqlx::query("PRAGMA max_page_count = 1").execute(&store.writer).await.unwrap();
    let text = "x".repeat(100_000);
    let entry = GateEntry { at: at(1), kind: GateEntryKind::Declared, text };
    let error = store.log_gate(&entry).await.unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error}");
    assert_eq!(store.gate_log().await.unwrap(), []);
    assert_eq!(store.next_broadcast_id(at(7)).number(), 7);
}

impl Sqlite {
    async fn open_new(folder: &Path) -> Self {
        super::super::folder::prepare(folder, "ghostlight.db").unwrap();
        Self::open(folder, "ghostlight.db").await.unwrap()
    }
}
