-- What an item is about need not be an order.
ALTER TABLE dead_letters RENAME COLUMN order_id TO subject;
DROP INDEX dead_letters_by_order;
CREATE INDEX dead_letters_by_subject ON dead_letters (follower, subject);
