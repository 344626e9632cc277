-- Orders that hear again what other services had answered: the journal was restored to before they
-- heard it, and this database was not. A follower of answers reads the shard once more from its
-- beginning, for these orders and up to where it was; 0 until it has begun.
CREATE TABLE answers_again (
    follower TEXT COLLATE "C" NOT NULL,
    shard    BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    through  BIGINT NOT NULL,
    PRIMARY KEY (follower, shard, order_id)
);
CREATE INDEX answers_again_by_order ON answers_again (order_id);
