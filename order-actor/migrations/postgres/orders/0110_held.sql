-- Holds that stand. NULL where none does: most orders are not in the index.
ALTER TABLE order_summaries ADD COLUMN held BIGINT;
ALTER TABLE order_summaries_next ADD COLUMN held BIGINT;
CREATE INDEX order_summaries_by_held ON order_summaries (placed_at DESC, order_id DESC)
    WHERE held IS NOT NULL;
CREATE INDEX order_summaries_next_by_held ON order_summaries_next (placed_at DESC, order_id DESC)
    WHERE held IS NOT NULL;
