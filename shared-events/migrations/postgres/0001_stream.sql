-- How far each named follower got in each shard of its source. Written in the transaction of the
-- follower's effect, never apart from it.
CREATE TABLE cursors (
    follower   TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    PRIMARY KEY (follower, shard)
);

-- Items that a follower could not handle, and those of the same order that wait behind them.
CREATE TABLE dead_letters (
    follower   TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    idx        BIGINT NOT NULL,
    order_id   TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('POISON', 'BEHIND', 'RETRY')),
    kind       TEXT   NOT NULL,
    item       TEXT   NOT NULL,
    error      TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    parked_at  BIGINT NOT NULL, -- microseconds since 1970
    PRIMARY KEY (follower, shard, position, idx)
);
CREATE INDEX dead_letters_by_order ON dead_letters (follower, order_id);
