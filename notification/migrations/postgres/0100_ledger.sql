-- What was said, or is to be. A fact is told once per channel: the key says so.
CREATE TABLE notifications (
    notification_id TEXT   PRIMARY KEY,
    serial          BIGINT NOT NULL UNIQUE, -- the order in which they were composed
    fact_id         TEXT   NOT NULL,
    channel         TEXT   NOT NULL,
    order_id        TEXT   NOT NULL,
    kind            TEXT   NOT NULL,
    recipient       TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    body            TEXT   NOT NULL,
    state           TEXT   NOT NULL
        CHECK (state IN ('QUEUED', 'SENDING', 'DELIVERED', 'RETRY_AT', 'FAILED')),
    attempts        BIGINT NOT NULL,
    last_error      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL, -- microseconds since 1970, as all times here
    next_try_at     BIGINT NOT NULL,
    delivered_at    BIGINT,
    UNIQUE (fact_id, channel)
);
CREATE INDEX notifications_due ON notifications (next_try_at, serial)
    WHERE state IN ('QUEUED', 'RETRY_AT', 'SENDING');
CREATE INDEX notifications_by_order ON notifications (order_id, serial);

-- What is told to others, without a gap.
CREATE TABLE outbox (
    position BIGINT PRIMARY KEY,
    order_id TEXT   NOT NULL,
    fact     TEXT   NOT NULL
);

-- Where the outbox ends. Whoever tells something takes the next place by updating this row, and
-- the others wait for it.
CREATE TABLE outbox_head (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
);
INSERT INTO outbox_head (one, position) VALUES (1, 0);
