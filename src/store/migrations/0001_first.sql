-- Times are milliseconds since 1970-01-01T00:00:00Z.

CREATE TABLE channels (
    name       TEXT    PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The secret itself is nowhere: only its HMAC-SHA-256 under the pepper.
CREATE TABLE keys (
    id           TEXT    PRIMARY KEY NOT NULL,
    channel      TEXT    NOT NULL REFERENCES channels (name),
    mac          BLOB    NOT NULL CHECK (length(mac) = 32),
    label        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_channel ON keys (channel, created_at);

CREATE TABLE broadcasts (
    id         INTEGER PRIMARY KEY NOT NULL,
    channel    TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    end_reason TEXT
) STRICT;

-- One row. A writer names the generation it read; a reopening makes the next one, so that a
-- server which has not heard of it cannot close again with what it remembers.
CREATE TABLE latch (
    only       INTEGER PRIMARY KEY NOT NULL CHECK (only = 1),
    turn       TEXT,
    turn_at    INTEGER,
    high_water INTEGER,
    generation INTEGER NOT NULL
) STRICT;

INSERT INTO latch (only, generation) VALUES (1, 0);

-- Append-only, each entry carrying the hash of everything before it.
CREATE TABLE gate_log (
    number INTEGER PRIMARY KEY NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    text   TEXT    NOT NULL,
    hash   BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER gate_log_keeps_entries BEFORE UPDATE ON gate_log
BEGIN
    SELECT raise(ABORT, 'the gate log is append-only');
END;

CREATE TRIGGER gate_log_keeps_all BEFORE DELETE ON gate_log
BEGIN
    SELECT raise(ABORT, 'the gate log is append-only');
END;

CREATE TABLE pepper (
    only  INTEGER PRIMARY KEY NOT NULL CHECK (only = 1),
    value BLOB    NOT NULL CHECK (length(value) = 32)
) STRICT;

INSERT INTO pepper (only, value) VALUES (1, randomblob(32));
