-- Read models are built again beside the ones in use, and then the two tables exchange their names.
-- Whatever changes one of a pair has to change the other.
CREATE TABLE order_summaries_next (
    order_id    TEXT   PRIMARY KEY,
    customer_id TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    currency    TEXT   NOT NULL,
    total       BIGINT NOT NULL, -- minor units
    refunded    BIGINT NOT NULL, -- minor units
    units       BIGINT NOT NULL,
    placed_at   BIGINT NOT NULL, -- microseconds since 1970, as all times here
    ordered_at  BIGINT,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX order_summaries_next_by_time ON order_summaries_next (placed_at DESC, order_id DESC);
CREATE INDEX order_summaries_next_by_customer ON order_summaries_next (customer_id, placed_at DESC, order_id DESC);
CREATE INDEX order_summaries_next_by_status ON order_summaries_next (status, placed_at DESC, order_id DESC);

CREATE TABLE deadlines_next (
    order_id TEXT   PRIMARY KEY,
    kind     TEXT   NOT NULL,
    due_at   BIGINT NOT NULL,
    version  BIGINT NOT NULL
);
CREATE INDEX deadlines_next_by_time ON deadlines_next (due_at, order_id);

-- Which rebuild of a read model is the last that was begun, while it is not done.
CREATE TABLE rebuilds (
    follower TEXT PRIMARY KEY,
    run      TEXT NOT NULL
);
