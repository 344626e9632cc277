-- Lists sorted by the last change. Every event moves the entry of its order.
CREATE INDEX order_summaries_by_change ON order_summaries (updated_at DESC, order_id DESC);
CREATE INDEX order_summaries_next_by_change ON order_summaries_next (updated_at DESC, order_id DESC);
