-- Where the fact stands that a message tells: what was not sent yet of a history that is gone is
-- not sent any more. Messages of before have none.
ALTER TABLE notifications ADD COLUMN shard BIGINT;
ALTER TABLE notifications ADD COLUMN position BIGINT;
-- 1 where the message left, and the fact that it told is of a history that is gone.
ALTER TABLE notifications ADD COLUMN gone BIGINT NOT NULL DEFAULT 0;
