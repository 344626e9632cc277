-- By which fact an order asked for money, and where it was in its shard. Where the journal was
-- restored to before it, the order is in doubt until the journal was read again. Of orders that
-- asked before this migration it is not known: they are taken to be there.
ALTER TABLE cases ADD COLUMN asked_position BIGINT;
ALTER TABLE cases ADD COLUMN asked_by TEXT;
ALTER TABLE cases ADD COLUMN doubted BIGINT NOT NULL DEFAULT 0;
CREATE INDEX cases_by_asked ON cases (shard, asked_position);
CREATE INDEX cases_doubted ON cases (shard, order_id) WHERE doubted = 1;
