-- Returns as lists show them, of all orders. Follows the journal, by itself: a database from before
-- reads it from its first event. Its indexes have ids in a collation of their own, as those of the
-- deadlines have (0102): a plan that was made while it was empty looks orders up by their key.
CREATE TABLE order_returns (
    order_id     TEXT   NOT NULL,
    return_id    TEXT   NOT NULL,
    customer_id  TEXT   NOT NULL,
    version      BIGINT NOT NULL, -- of the order, when its rows were written
    state        TEXT   NOT NULL,
    requested_at BIGINT NOT NULL, -- microseconds since 1970, as all times here
    judge_by     BIGINT NOT NULL,
    content      TEXT   NOT NULL, -- JSON: what a list shows, and looks for nothing in
    PRIMARY KEY (order_id, return_id)
);
CREATE INDEX order_returns_by_request
    ON order_returns (state, requested_at, order_id COLLATE "C", return_id COLLATE "C");
CREATE INDEX order_returns_by_judgement
    ON order_returns (state, judge_by, order_id COLLATE "C", return_id COLLATE "C");
CREATE INDEX order_returns_by_customer
    ON order_returns (customer_id, requested_at, order_id COLLATE "C", return_id COLLATE "C");

CREATE TABLE order_returns_next (
    order_id     TEXT   NOT NULL,
    return_id    TEXT   NOT NULL,
    customer_id  TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    requested_at BIGINT NOT NULL,
    judge_by     BIGINT NOT NULL,
    content      TEXT   NOT NULL,
    PRIMARY KEY (order_id, return_id)
);
CREATE INDEX order_returns_next_by_request
    ON order_returns_next (state, requested_at, order_id COLLATE "C", return_id COLLATE "C");
CREATE INDEX order_returns_next_by_judgement
    ON order_returns_next (state, judge_by, order_id COLLATE "C", return_id COLLATE "C");
CREATE INDEX order_returns_next_by_customer
    ON order_returns_next (customer_id, requested_at, order_id COLLATE "C", return_id COLLATE "C");
