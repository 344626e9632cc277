-- What is told is told in the shard of the order it is about, so that whoever has that shard of the
-- orders follows it there.
ALTER TABLE outbox RENAME TO outbox_of_one_shard;
CREATE TABLE outbox (
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    order_id TEXT   NOT NULL,
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
