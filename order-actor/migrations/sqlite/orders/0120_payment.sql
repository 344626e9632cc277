-- How it stands with the money. NULL without a payment plan: most orders are not in the index.
ALTER TABLE order_summaries ADD COLUMN payment TEXT;
ALTER TABLE order_summaries_next ADD COLUMN payment TEXT;
CREATE INDEX order_summaries_by_payment ON order_summaries (payment, placed_at DESC, order_id DESC)
    WHERE payment IS NOT NULL;
CREATE INDEX order_summaries_next_by_payment
    ON order_summaries_next (payment, placed_at DESC, order_id DESC) WHERE payment IS NOT NULL;
