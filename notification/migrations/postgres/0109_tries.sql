-- The failed tries of a message, the newest, as JSON; none for most.
ALTER TABLE notifications ADD COLUMN tries TEXT;
