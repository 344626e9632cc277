-- What names an order, or a parcel or a return of it: which order it is. Follows the journal, by
-- itself: a database from before reads it from its first event. A name begins with its kind, as
-- shipment: or tracking:, and of a tracking number a fingerprint follows. The index of names has ids
-- in a collation of their own, as those of the deadlines have (0102): a plan that was made while it
-- was empty looks orders up by their key.
CREATE TABLE order_identifiers (
    order_id TEXT   NOT NULL,
    name     TEXT   COLLATE "C" NOT NULL,
    part     TEXT   COLLATE "C" NOT NULL, -- the parcel or the return; empty where it is the order
    version  BIGINT NOT NULL, -- of the order, when the row was written; of a request its event's
    PRIMARY KEY (order_id, name, part)
);
CREATE INDEX order_identifiers_by_name ON order_identifiers (name, order_id COLLATE "C", part);

CREATE TABLE order_identifiers_next (
    order_id TEXT   NOT NULL,
    name     TEXT   COLLATE "C" NOT NULL,
    part     TEXT   COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    PRIMARY KEY (order_id, name, part)
);
CREATE INDEX order_identifiers_next_by_name
    ON order_identifiers_next (name, order_id COLLATE "C", part);
