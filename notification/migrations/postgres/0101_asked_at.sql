-- When a message was last asked for: composed, or to be sent again. What waits for a server that is
-- away waits from here.
ALTER TABLE notifications ADD COLUMN asked_at BIGINT NOT NULL DEFAULT 0;
UPDATE notifications SET asked_at = created_at;
