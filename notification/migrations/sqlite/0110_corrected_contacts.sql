-- The contact of an order since a correction of it; the latest one counts, also for what is sent again. Orders
-- that were not corrected have none: their messages have it.
CREATE TABLE corrected_contacts (
    order_id TEXT   NOT NULL,
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL, -- of the fact
    email    TEXT   NOT NULL, -- empty for none, as the phone number
    phone    TEXT   NOT NULL,
    PRIMARY KEY (order_id, position)
);
