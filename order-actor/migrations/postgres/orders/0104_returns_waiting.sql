-- Returns that wait, also beside open units. NULL where none does: most orders are not in the index.
ALTER TABLE order_summaries ADD COLUMN returns_waiting BIGINT;
ALTER TABLE order_summaries_next ADD COLUMN returns_waiting BIGINT;
-- Until now one return waited at a time, and only in this status.
UPDATE order_summaries SET returns_waiting = 1 WHERE status = 'RETURN_REQUESTED';
UPDATE order_summaries_next SET returns_waiting = 1 WHERE status = 'RETURN_REQUESTED';
CREATE INDEX order_summaries_by_waiting ON order_summaries (placed_at DESC, order_id DESC)
    WHERE returns_waiting IS NOT NULL;
CREATE INDEX order_summaries_next_by_waiting ON order_summaries_next (placed_at DESC, order_id DESC)
    WHERE returns_waiting IS NOT NULL;
