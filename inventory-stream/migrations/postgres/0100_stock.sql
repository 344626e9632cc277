-- Per product: on_hand = adjusted - committed + restocked, and 0 <= reserved <= on_hand. The
-- schema refuses what breaks the second; reconcile proves the first.
CREATE TABLE stock (
    sku       TEXT   PRIMARY KEY,
    on_hand   BIGINT NOT NULL,
    reserved  BIGINT NOT NULL,
    adjusted  BIGINT NOT NULL, -- sum of all movements by people
    committed BIGINT NOT NULL, -- units that left with parcels
    restocked BIGINT NOT NULL, -- units that came back
    CHECK (0 <= reserved AND reserved <= on_hand)
);

-- What people set and adjusted, never changed.
CREATE TABLE movements (
    movement_id TEXT   PRIMARY KEY, -- the request's id
    sku         TEXT   NOT NULL,
    delta       BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    at          BIGINT NOT NULL     -- microseconds since 1970
);
CREATE INDEX movements_by_sku ON movements (sku);

-- What is held for each order, with the facts it has seen (JSON).
CREATE TABLE reservations (
    order_id TEXT PRIMARY KEY,
    state    TEXT NOT NULL,
    body     TEXT NOT NULL
);

-- What is told to others, without a gap; written with the stock it is about.
CREATE TABLE outbox (
    position BIGINT PRIMARY KEY,
    order_id TEXT   NOT NULL,
    fact     TEXT   NOT NULL
);
