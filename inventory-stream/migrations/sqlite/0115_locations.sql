-- Units of a product may be at several locations. `stock` has the sums, as before; what is not in
-- `stock_at` is at `main`. Nothing is written here for products that are only there.
ALTER TABLE stock ADD COLUMN located BIGINT; -- 1 where `stock_at` has rows of it, else NULL
ALTER TABLE movements ADD COLUMN location TEXT; -- `main` where NULL; of ORDERS, `facts` has it

CREATE TABLE locations (
    name     TEXT   PRIMARY KEY, -- `main` where its priority was ever set
    priority BIGINT NOT NULL     -- the lowest number is served first
);

CREATE TABLE stock_at (
    sku       TEXT   NOT NULL,
    location  TEXT   NOT NULL,
    on_hand   BIGINT NOT NULL,
    held      BIGINT NOT NULL, -- units of those that orders hold
    adjusted  BIGINT NOT NULL, -- sum of all movements by people
    committed BIGINT NOT NULL, -- units that left with parcels
    restocked BIGINT NOT NULL, -- units that came back
    PRIMARY KEY (sku, location),
    CHECK (0 <= held AND held <= on_hand)
);

-- For the sums of a location's movements.
CREATE INDEX movements_by_location ON movements (sku, location) WHERE location IS NOT NULL;
