-- The trace that opened an operation, and when (microseconds since 1970): what is done about it later
-- belongs to that trace. NULL where it belongs to none, and in rows from before.
ALTER TABLE operations ADD COLUMN traceparent TEXT;
ALTER TABLE operations ADD COLUMN traced_at BIGINT;
