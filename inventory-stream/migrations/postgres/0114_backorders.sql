-- Units may be promised beyond those on hand; of those reserved, these wait for stock. Nothing is
-- written here for products that are never backordered.
ALTER TABLE stock ADD COLUMN backordered     BIGINT; -- none where NULL
ALTER TABLE stock ADD COLUMN backorder_limit BIGINT; -- units that may be; none where NULL
ALTER TABLE stock ADD COLUMN backorder_until BIGINT; -- only for orders placed before
ALTER TABLE stock DROP CONSTRAINT stock_check;
ALTER TABLE stock ADD CONSTRAINT stock_check CHECK (
    0 <= COALESCE(backordered, 0) AND COALESCE(backordered, 0) <= reserved
    AND reserved - COALESCE(backordered, 0) <= on_hand
);
CREATE INDEX stock_backordered ON stock (sku) WHERE backordered IS NOT NULL;

-- Which orders wait for which product, in the order in which they get what comes.
CREATE TABLE backorders (
    sku       TEXT   NOT NULL,
    placed_at BIGINT NOT NULL, -- microseconds since 1970
    order_id  TEXT   NOT NULL,
    PRIMARY KEY (sku, placed_at, order_id)
);
CREATE INDEX backorders_by_order ON backorders (order_id);
