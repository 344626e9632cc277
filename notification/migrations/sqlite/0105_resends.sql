-- What is said again is a message of its own: which one it repeats, and who asked for it. So a fact may
-- be told by several messages of a channel, and the key of both goes; the id is made of them, and says
-- the same for those that nobody asked for. SQLite changes no key in place.
CREATE TABLE notifications_with_resends (
    notification_id TEXT   PRIMARY KEY,
    serial          BIGINT NOT NULL UNIQUE,
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
    created_at      BIGINT NOT NULL,
    next_try_at     BIGINT NOT NULL,
    delivered_at    BIGINT,
    asked_at        BIGINT NOT NULL DEFAULT 0,
    shard           BIGINT,
    position        BIGINT,
    gone            BIGINT NOT NULL DEFAULT 0,
    resend_of       TEXT,
    asked_by        TEXT,
    in_doubt        BIGINT NOT NULL DEFAULT 0 -- tries of which nobody knows whether they were taken
);
INSERT INTO notifications_with_resends
    (notification_id, serial, fact_id, channel, order_id, kind, recipient, subject, body, state,
     attempts, last_error, created_at, next_try_at, delivered_at, asked_at, shard, position, gone)
SELECT notification_id, serial, fact_id, channel, order_id, kind, recipient, subject, body, state,
       attempts, last_error, created_at, next_try_at, delivered_at, asked_at, shard, position, gone
FROM notifications;
DROP TABLE notifications;
ALTER TABLE notifications_with_resends RENAME TO notifications;
CREATE INDEX notifications_by_order ON notifications (order_id, serial);
