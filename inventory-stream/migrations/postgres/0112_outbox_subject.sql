-- As every service's outbox: what a fact is about need not be an order.
ALTER TABLE outbox RENAME COLUMN order_id TO subject;
