-- Units may be promised beyond those on hand; of those reserved, these wait for stock. Nothing is
-- written here for products that are never backordered. SQLite changes a CHECK by a new table.
ALTER TABLE stock RENAME TO stock_without_backorders;
CREATE TABLE stock (
    sku             TEXT   PRIMARY KEY,
    on_hand         BIGINT NOT NULL,
    reserved        BIGINT NOT NULL,
    adjusted        BIGINT NOT NULL, -- sum of all movements by people
    committed       BIGINT NOT NULL, -- units that left with parcels
    restocked       BIGINT NOT NULL, -- units that came back
    moves           BIGINT NOT NULL DEFAULT 0, -- movements so far
    backordered     BIGINT, -- none where NULL
    backorder_limit BIGINT, -- units that may be; none where NULL
    backorder_until BIGINT, -- only for orders placed before
    CHECK (
        0 <= COALESCE(backordered, 0) AND COALESCE(backordered, 0) <= reserved
        AND reserved - COALESCE(backordered, 0) <= on_hand
    )
);
INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked, moves)
SELECT sku, on_hand, reserved, adjusted, committed, restocked, moves FROM stock_without_backorders;
DROP TABLE stock_without_backorders;
CREATE INDEX stock_backordered ON stock (sku) WHERE backordered IS NOT NULL;

-- Which orders wait for which product, in the order in which they get what comes.
CREATE TABLE backorders (
    sku       TEXT   NOT NULL,
    placed_at BIGINT NOT NULL, -- microseconds since 1970
    order_id  TEXT   NOT NULL,
    PRIMARY KEY (sku, placed_at, order_id)
);
CREATE INDEX backorders_by_order ON backorders (order_id);
