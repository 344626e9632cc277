-- The messages that are not finished, and when each is due: apart from them, because this changes
-- several times for every message, and they are long and stand in several indexes.
CREATE TABLE due (
    serial BIGINT PRIMARY KEY,
    at     BIGINT NOT NULL -- the message's next_try_at
);
INSERT INTO due SELECT serial, next_try_at FROM notifications
    WHERE state IN ('QUEUED', 'RETRY_AT', 'SENDING');
CREATE INDEX due_by_time ON due (at, serial);
DROP INDEX notifications_due;
