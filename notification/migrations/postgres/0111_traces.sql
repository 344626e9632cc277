-- The recorded trace that a message belongs to; only where traces are kept, and only messages of one.
CREATE TABLE message_traces (
    notification_id TEXT NOT NULL PRIMARY KEY,
    traceparent     TEXT NOT NULL
);
