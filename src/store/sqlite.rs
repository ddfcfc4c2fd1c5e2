use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{SqlSafeStr, Sqlite as Engine, SqliteConnection, Transaction};

use super::numbers::Numbers;
use super::records::chain_hash;
use super::{
    BroadcastRecord, ChannelRecord, Created, GateEntry, GateEntryKind, KeyRecord, LatchRecord,
    Pepper, ReachedRecord, Revoked, Saved, Store, StoreError,
};
use crate::base::{BroadcastId, ChannelId, KeyId, Rival, WallTime};

/// How long a write waits for another process that writes.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Result codes of SQLite (its documentation, "Result and Error Codes").
const SQLITE_FULL: &str = "13";
const SQLITE_NOTADB: &str = "26";

/// One database file. Writes go through one connection, one after the other, so a transaction
/// never meets a lock of its own process; reads have another.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    reader: SqlitePool,
    numbers: Numbers,
    /// The database and the log in which writes go first.
    files: [PathBuf; 2],
}

impl Sqlite {
    pub(super) async fn open(folder: &Path, file: &str) -> Result<Self, StoreError> {
        let path = folder.join(file);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .busy_timeout(BUSY_MAX)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A write is on the disk when it returns, which the latch needs and nobody else
            // minds: writes are rare.
            .synchronous(SqliteSynchronous::Full);
        let writer = one(options.clone()).await.map_err(|error| cannot_open(&path, error))?;
        migrate(&writer, &path).await?;
        let reader = one(options).await.map_err(|error| cannot_open(&path, error))?;
        let (last,): (Option<i64>,) =
            sqlx::query_as("SELECT max(id) FROM broadcasts").fetch_one(&reader).await?;
        let numbers = Numbers::after(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0));
        let files = [path, folder.join(format!("{file}-wal"))];
        Ok(Self { writer, reader, numbers, files })
    }

    /// Takes the write lock at once: a transaction that begins by reading could lose it later.
    async fn begin(&self) -> Result<Transaction<'static, Engine>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// A pool of one connection that is never replaced: `data_version` counts per connection.
async fn one(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(BUSY_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let migrator = Migrator::with_migrations(migrations());
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum, and all the rest")]
    migrator.run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => {
            StoreError::Newer { path: path.to_owned(), found, known }
        }
        MigrateError::VersionMismatch(_) => StoreError::NotOurs { path: path.to_owned() },
        MigrateError::Execute(error) => cannot_open(path, error),
        other => StoreError::Open { path: path.to_owned(), cause: Box::new(other) },
    })
}

/// One for each version of the database, in order. What was released once never changes.
fn migrations() -> Vec<Migration> {
    let one = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    vec![
        one(1, "first", include_str!("migrations/0001_first.sql")),
        one(2, "rival", include_str!("migrations/0002_rival.sql")),
    ]
}

fn cannot_open(path: &Path, error: sqlx::Error) -> StoreError {
    let path: PathBuf = path.to_owned();
    match code(&error).as_deref() {
        Some(SQLITE_NOTADB) => StoreError::NotOurs { path },
        Some(_) | None => StoreError::Open { path, cause: Box::new(error) },
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let unique = error.as_database_error().is_some_and(|e| e.is_unique_violation());
        match code(&error).as_deref() {
            Some(SQLITE_FULL) => Self::Full,
            Some(_) if unique => Self::Exists("the record".to_owned()),
            Some(_) | None => Self::Failed(Box::new(error)),
        }
    }
}

/// A stored text or number that no version of this program writes.
fn unreadable(what: &str) -> StoreError {
    StoreError::Failed(format!("an unreadable {what} in the database").into())
}

async fn append(connection: &mut SqliteConnection, entry: &GateEntry) -> Result<(), StoreError> {
    let last: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT hash FROM gate_log ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?;
    let before = last.map(|(hash,)| hash_of(hash)).transpose()?;
    let hash = chain_hash(before.as_ref(), entry);
    sqlx::query("INSERT INTO gate_log (at, kind, text, hash) VALUES ($1, $2, $3, $4)")
        .bind(entry.at.unix_millis())
        .bind(entry.kind.as_str())
        .bind(&entry.text)
        .bind(hash.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

async fn revoke(
    connection: &mut SqliteConnection,
    id: &KeyId,
    at: WallTime,
) -> Result<Revoked, StoreError> {
    let done = sqlx::query("UPDATE keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(at.unix_millis())
        .bind(id.as_str())
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 1 {
        return Ok(Revoked::Now);
    }
    let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM keys WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(if known.is_some() { Revoked::Before } else { Revoked::Unknown })
}

async fn ensure_channel(
    connection: &mut SqliteConnection,
    id: &ChannelId,
    at: WallTime,
) -> Result<Created, StoreError> {
    let done = sqlx::query(
        "INSERT INTO channels (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(at.unix_millis())
    .execute(connection)
    .await?;
    Ok(if done.rows_affected() == 1 { Created::New } else { Created::Existing })
}

/// `id, channel, mac, label, rival, created_at, last_used_at, revoked_at`
type KeyRow = (String, String, Vec<u8>, String, String, i64, Option<i64>, Option<i64>);

fn key_of(row: KeyRow) -> Result<KeyRecord, StoreError> {
    let (id, channel, mac, label, rival, created_at, last_used_at, revoked_at) = row;
    Ok(KeyRecord {
        id: KeyId::new(&id),
        channel: channel_of(&channel)?,
        mac: hash_of(mac)?,
        label,
        rival: rival.parse().map_err(|_| unreadable("choice about rivals"))?,
        created_at: WallTime::from_unix_millis(created_at),
        last_used_at: last_used_at.map(WallTime::from_unix_millis),
        revoked_at: revoked_at.map(WallTime::from_unix_millis),
    })
}

fn channel_of(name: &str) -> Result<ChannelId, StoreError> {
    ChannelId::parse(name).map_err(|_| unreadable("channel name"))
}

fn hash_of(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| unreadable("hash"))
}

fn number_of(id: BroadcastId) -> Result<i64, StoreError> {
    i64::try_from(id.number()).map_err(|_| unreadable("broadcast number"))
}

#[async_trait]
impl Store for Sqlite {
    async fn revision(&self) -> Result<i64, StoreError> {
        let (version,): (i64,) =
            sqlx::query_as("PRAGMA data_version").fetch_one(&self.reader).await?;
        Ok(version)
    }

    fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            let metadata = fs::metadata(file).ok();
            metadata.map(|file| (file.modified().ok(), file.len())).hash(&mut hasher);
        }
        hasher.finish()
    }

    async fn channels(&self) -> Result<Vec<ChannelRecord>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, created_at FROM channels ORDER BY name")
                .fetch_all(&self.reader)
                .await?;
        let record = |(name, created_at): (String, i64)| {
            let created_at = WallTime::from_unix_millis(created_at);
            Ok(ChannelRecord { id: channel_of(&name)?, created_at })
        };
        rows.into_iter().map(record).collect()
    }

    async fn create_channel(&self, id: &ChannelId, at: WallTime) -> Result<Created, StoreError> {
        let mut transaction = self.begin().await?;
        let created = ensure_channel(&mut transaction, id, at).await?;
        transaction.commit().await?;
        Ok(created)
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT id, channel, mac, label, rival, created_at, last_used_at, revoked_at \
             FROM keys ORDER BY channel, created_at, id",
        )
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter().map(key_of).collect()
    }

    async fn add_key(&self, key: &KeyRecord, instead_of: Option<&KeyId>) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        ensure_channel(&mut transaction, &key.channel, key.created_at).await?;
        sqlx::query(
            "INSERT INTO keys (id, channel, mac, label, rival, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.id.as_str())
        .bind(key.channel.as_str())
        .bind(key.mac.to_vec())
        .bind(&key.label)
        .bind(key.rival.as_str())
        .bind(key.created_at.unix_millis())
        .execute(&mut *transaction)
        .await?;
        if let Some(old) = instead_of {
            revoke(&mut transaction, old, key.created_at).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn revoke_key(&self, id: &KeyId, at: WallTime) -> Result<Revoked, StoreError> {
        let mut transaction = self.begin().await?;
        let revoked = revoke(&mut transaction, id, at).await?;
        transaction.commit().await?;
        Ok(revoked)
    }

    async fn set_rival(&self, id: &KeyId, rival: Rival) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query("UPDATE keys SET rival = $1 WHERE id = $2")
            .bind(rival.as_str())
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    async fn touch_keys(&self, used: &[(KeyId, WallTime)]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for (id, at) in used {
            sqlx::query(
                "UPDATE keys SET last_used_at = max(coalesce(last_used_at, $1), $1) WHERE id = $2",
            )
            .bind(at.unix_millis())
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn pepper(&self) -> Result<Pepper, StoreError> {
        let (value,): (Vec<u8>,) =
            sqlx::query_as("SELECT value FROM pepper").fetch_one(&self.reader).await?;
        Ok(Pepper(hash_of(value)?))
    }

    async fn latch(&self) -> Result<LatchRecord, StoreError> {
        let (turn, at, high_water, generation): (Option<String>, Option<i64>, Option<i64>, i64) =
            sqlx::query_as("SELECT turn, turn_at, high_water, generation FROM latch")
                .fetch_one(&self.reader)
                .await?;
        let at = at.map(WallTime::from_unix_millis);
        Ok(LatchRecord {
            reached: turn.zip(at).map(|(turn, at)| ReachedRecord { turn, at }),
            high_water: high_water.map(WallTime::from_unix_millis),
            generation,
        })
    }

    async fn save_latch(
        &self,
        latch: &LatchRecord,
        entry: Option<&GateEntry>,
    ) -> Result<Saved, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE latch SET turn = $1, turn_at = $2, high_water = $3 WHERE generation = $4",
        )
        .bind(latch.reached.as_ref().map(|reached| reached.turn.clone()))
        .bind(latch.reached.as_ref().map(|reached| reached.at.unix_millis()))
        .bind(latch.high_water.map(WallTime::unix_millis))
        .bind(latch.generation)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Saved::Superseded);
        }
        if let Some(entry) = entry {
            append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(Saved::Stored)
    }

    async fn reopen(&self, entry: &GateEntry) -> Result<LatchRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let (generation,): (i64,) = sqlx::query_as(
            "UPDATE latch SET turn = NULL, turn_at = NULL, high_water = NULL, \
             generation = generation + 1 RETURNING generation",
        )
        .fetch_one(&mut *transaction)
        .await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(LatchRecord { generation, ..LatchRecord::default() })
    }

    async fn log_gate(&self, entry: &GateEntry) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        append(&mut transaction, entry).await?;
        Ok(transaction.commit().await?)
    }

    async fn gate_log(&self) -> Result<Vec<(GateEntry, [u8; 32])>, StoreError> {
        let rows: Vec<(i64, String, String, Vec<u8>)> =
            sqlx::query_as("SELECT at, kind, text, hash FROM gate_log ORDER BY number")
                .fetch_all(&self.reader)
                .await?;
        let record = |(at, kind, text, hash): (i64, String, String, Vec<u8>)| {
            let kind = GateEntryKind::parse(&kind).ok_or_else(|| unreadable("kind of entry"))?;
            Ok((GateEntry { at: WallTime::from_unix_millis(at), kind, text }, hash_of(hash)?))
        };
        rows.into_iter().map(record).collect()
    }

    fn next_broadcast_id(&self, now: WallTime) -> BroadcastId {
        self.numbers.next(now)
    }

    async fn record_start(&self, broadcast: &BroadcastRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO broadcasts (id, channel, key, started_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(number_of(broadcast.id)?)
        .bind(broadcast.channel.as_str())
        .bind(broadcast.key.as_str())
        .bind(broadcast.started_at.unix_millis())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn record_end(
        &self,
        id: BroadcastId,
        at: WallTime,
        reason: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE broadcasts SET ended_at = $1, end_reason = $2 \
             WHERE id = $3 AND ended_at IS NULL",
        )
        .bind(at.unix_millis())
        .bind(reason)
        .bind(number_of(id)?)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
