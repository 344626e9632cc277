-- The table of postgres-es 0.5 in SQLite's types, plus what orders and chains the events.
CREATE TABLE events
(
    aggregate_type TEXT   NOT NULL,
    aggregate_id   TEXT   NOT NULL,
    sequence       BIGINT NOT NULL CHECK (sequence >= 0),
    event_type     TEXT   NOT NULL,
    event_version  TEXT   NOT NULL,
    payload        TEXT   NOT NULL,
    metadata       TEXT   NOT NULL,
    shard          INT    NOT NULL,
    position       BIGINT NOT NULL CHECK (position > 0),
    recorded_at    BIGINT NOT NULL, -- microseconds since 1970
    hash           BLOB   NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (aggregate_type, aggregate_id, sequence),
    UNIQUE (shard, position)
);

-- Who may write, and where the shard stands. Every append hits exactly the rows of its shards.
CREATE TABLE shards
(
    shard         INTEGER PRIMARY KEY CHECK (shard >= 0),
    epoch         BIGINT NOT NULL,
    owner         TEXT   NOT NULL,
    head_position BIGINT NOT NULL CHECK (head_position >= 0),
    head_hash     BLOB   NOT NULL CHECK (length(head_hash) = 32)
);

-- Orders whose history is impossible; for operators.
CREATE TABLE quarantined
(
    order_id TEXT PRIMARY KEY,
    reason   TEXT   NOT NULL,
    since    BIGINT NOT NULL
);

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: UPDATE on events is refused');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: DELETE on events is refused');
END;

CREATE TRIGGER shards_are_never_deleted BEFORE DELETE ON shards
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: DELETE on shards is refused');
END;
