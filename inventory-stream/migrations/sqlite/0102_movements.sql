-- Everything that moved a product's stock, in order and without a gap: what people said, and what
-- orders did. Written in the statement that moves the stock, never changed.
ALTER TABLE stock ADD COLUMN moves BIGINT NOT NULL DEFAULT 0; -- movements so far

ALTER TABLE movements RENAME TO movements_of_people;
DROP INDEX movements_by_sku;
CREATE TABLE movements (
    sku        TEXT   NOT NULL,
    number     BIGINT NOT NULL, -- from 1
    delta      BIGINT NOT NULL, -- units on hand more, or fewer
    held       BIGINT NOT NULL, -- units reserved more, or fewer
    on_hand    BIGINT,          -- afterwards; unknown before this table was there
    reserved   BIGINT,
    cause      TEXT   NOT NULL, -- SET, ADJUSTED, ORDERS, SET_BACK, EARLIER
    facts      TEXT,            -- of ORDERS, in order: [[outbox shard, position, what, units], …]
    request_id TEXT,
    asked      TEXT,            -- what a request asked for
    reason     TEXT,
    asked_by   TEXT,            -- role and name
    at         BIGINT NOT NULL, -- microseconds since 1970
    PRIMARY KEY (sku, number)
);
CREATE UNIQUE INDEX movements_by_request ON movements (request_id) WHERE request_id IS NOT NULL;

INSERT INTO movements (sku, number, delta, held, cause, request_id, asked, reason, at)
SELECT sku, ROW_NUMBER() OVER (PARTITION BY sku ORDER BY at, movement_id), delta, 0,
       CASE reason WHEN 'set' THEN 'SET' ELSE 'ADJUSTED' END, movement_id,
       CASE reason WHEN 'set' THEN NULL ELSE CAST(delta AS TEXT) END, NULLIF(reason, 'set'), at
FROM movements_of_people;
-- What orders had moved until now, in one row of each product.
INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, at)
SELECT sku,
       1 + (SELECT COUNT(*) FROM movements_of_people WHERE movements_of_people.sku = stock.sku),
       restocked - committed, reserved, on_hand, reserved, 'EARLIER',
       CAST(strftime('%s', 'now') AS INTEGER) * 1000000
FROM stock WHERE reserved <> 0 OR committed <> 0 OR restocked <> 0;
DROP TABLE movements_of_people;
UPDATE stock SET moves = (SELECT COUNT(*) FROM movements WHERE movements.sku = stock.sku);
