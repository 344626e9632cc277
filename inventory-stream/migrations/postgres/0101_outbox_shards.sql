-- What is told is told in the shard of the order it is about, so that whoever has that shard of the
-- orders follows it there.
ALTER TABLE outbox ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
ALTER TABLE outbox ADD PRIMARY KEY (shard, position);

-- The last position of each shard, moved with what is told there.
CREATE TABLE outbox_heads (
    shard    BIGINT PRIMARY KEY,
    position BIGINT NOT NULL
);
INSERT INTO outbox_heads SELECT shard, MAX(position) FROM outbox GROUP BY shard;
