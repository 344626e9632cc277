-- A channel may be a webhook endpoint: WEBHOOK for the default one, WEBHOOK:crm for the one named crm.
-- SQLite drops no check in place.
CREATE TABLE due_by_route (
    serial  BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    channel TEXT   NOT NULL DEFAULT 'EMAIL'
);
INSERT INTO due_by_route SELECT serial, at, channel FROM due;
DROP TABLE due;
ALTER TABLE due_by_route RENAME TO due;
CREATE INDEX due_by_time ON due (channel, at, serial);
