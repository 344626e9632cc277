-- Orders as lists show them. Follows the journal.
CREATE TABLE order_summaries (
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
CREATE INDEX order_summaries_by_time ON order_summaries (placed_at DESC, order_id DESC);
CREATE INDEX order_summaries_by_customer ON order_summaries (customer_id, placed_at DESC, order_id DESC);
CREATE INDEX order_summaries_by_status ON order_summaries (status, placed_at DESC, order_id DESC);

-- The open deadline of each order that has one. Follows the journal.
CREATE TABLE deadlines (
    order_id TEXT   PRIMARY KEY,
    kind     TEXT   NOT NULL,
    due_at   BIGINT NOT NULL,
    version  BIGINT NOT NULL
);
CREATE INDEX deadlines_by_time ON deadlines (due_at, order_id);
