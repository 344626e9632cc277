-- What an item is about need not be an order.
ALTER TABLE dead_letters RENAME COLUMN order_id TO subject;
ALTER INDEX dead_letters_by_order RENAME TO dead_letters_by_subject;
