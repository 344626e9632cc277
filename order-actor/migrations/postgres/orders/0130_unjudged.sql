-- When the oldest return was requested that nobody has judged. NULL where none waits for that: most
-- orders are not in the index.
ALTER TABLE order_summaries ADD COLUMN unjudged_since BIGINT;
ALTER TABLE order_summaries_next ADD COLUMN unjudged_since BIGINT;
-- Of returns from before, the last change of their order stands for it, as it did until now. The next
-- event of the order, and a rebuild of the list, know better.
UPDATE order_summaries SET unjudged_since = updated_at WHERE returns_waiting IS NOT NULL;
UPDATE order_summaries_next SET unjudged_since = updated_at WHERE returns_waiting IS NOT NULL;
CREATE INDEX order_summaries_by_unjudged ON order_summaries (unjudged_since)
    WHERE unjudged_since IS NOT NULL;
CREATE INDEX order_summaries_next_by_unjudged ON order_summaries_next (unjudged_since)
    WHERE unjudged_since IS NOT NULL;
