-- What orders said that moves money: parcels, refunds, and facts of confirmations and cancellations.
-- Where the journal was restored to before one of them, it is in doubt until the journal was read
-- again. What was heard before this migration is not here: it is taken to be there.
CREATE TABLE heard (
    order_id TEXT NOT NULL,
    cause    TEXT NOT NULL,
    fact     TEXT NOT NULL, -- that said it
    shard    BIGINT NOT NULL, -- of the journal
    position BIGINT NOT NULL,
    doubted  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, cause)
);
CREATE INDEX heard_by_position ON heard (shard, position);
CREATE INDEX heard_doubted ON heard (shard, order_id) WHERE doubted = 1;
