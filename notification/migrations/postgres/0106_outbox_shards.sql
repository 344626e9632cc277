-- As every service's outbox, so that others can read it: each fact in the shard of what it is about.
-- What was told before stays where it was, in shard 0.
ALTER TABLE outbox RENAME TO outbox_of_one_shard;
CREATE TABLE outbox (
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    subject  TEXT   NOT NULL,
    fact     TEXT   NOT NULL,
    PRIMARY KEY (shard, position)
);
INSERT INTO outbox SELECT 0, position, order_id, fact FROM outbox_of_one_shard;
DROP TABLE outbox_of_one_shard;

-- The last position of each shard, moved with what is told there.
CREATE TABLE outbox_heads (
    shard    BIGINT PRIMARY KEY,
    position BIGINT NOT NULL
);
INSERT INTO outbox_heads SELECT shard, MAX(position) FROM outbox GROUP BY shard;
DROP TABLE outbox_head;
