-- What is said again is a message of its own: which one it repeats, and who asked for it.
ALTER TABLE notifications ADD COLUMN resend_of TEXT;
ALTER TABLE notifications ADD COLUMN asked_by TEXT;
-- Tries of which nobody knows whether they were taken.
ALTER TABLE notifications ADD COLUMN in_doubt BIGINT NOT NULL DEFAULT 0;
