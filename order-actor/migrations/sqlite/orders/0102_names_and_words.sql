-- Names that a client gave an order, and words by which a list finds it, both as JSON. Most orders
-- have neither and are not in the index.
ALTER TABLE order_summaries ADD COLUMN names TEXT;
ALTER TABLE order_summaries ADD COLUMN words TEXT;
CREATE INDEX order_summaries_by_words ON order_summaries (placed_at DESC, order_id DESC)
    WHERE words IS NOT NULL;
ALTER TABLE order_summaries_next ADD COLUMN names TEXT;
ALTER TABLE order_summaries_next ADD COLUMN words TEXT;
CREATE INDEX order_summaries_next_by_words ON order_summaries_next (placed_at DESC, order_id DESC)
    WHERE words IS NOT NULL;
