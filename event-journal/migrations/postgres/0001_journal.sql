-- The first seven columns and the primary key are those of postgres-es 0.5, so that any cqrs-es
-- tool can read the journal. It cannot write it: an event without a position is refused.
CREATE TABLE events
(
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    sequence       bigint      NOT NULL CHECK (sequence >= 0),
    event_type     text        NOT NULL,
    event_version  text        NOT NULL,
    payload        json        NOT NULL, -- json, not jsonb: bytes stay as written
    metadata       json        NOT NULL,
    shard          int         NOT NULL,
    position       bigint      NOT NULL CHECK (position > 0),
    recorded_at    timestamptz NOT NULL,
    hash           bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (aggregate_type, aggregate_id, sequence),
    CONSTRAINT events_position UNIQUE (shard, position)
);

-- Who may write, and where the shard stands. Every append hits exactly the rows of its shards.
-- Updated on every append: room on the page keeps those updates off the index.
CREATE TABLE shards
(
    shard         int PRIMARY KEY CHECK (shard >= 0),
    epoch         bigint      NOT NULL,
    owner         text        NOT NULL,
    lease_until   timestamptz NOT NULL,
    head_position bigint      NOT NULL CHECK (head_position >= 0),
    head_hash     bytea       NOT NULL CHECK (octet_length(head_hash) = 32)
) WITH (fillfactor = 10);

-- Orders whose history is impossible; for operators.
CREATE TABLE quarantined
(
    order_id text PRIMARY KEY,
    reason   text        NOT NULL,
    since    timestamptz NOT NULL
);

CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
END
$$;

CREATE TRIGGER events_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

-- The number of shards is fixed when the journal is created.
CREATE TRIGGER shards_are_forever
    BEFORE DELETE OR TRUNCATE ON shards
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();
