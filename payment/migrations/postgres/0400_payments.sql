-- The payments of an order (JSON): what its events make of it. Found again, and locked, as one row.
CREATE TABLE cases (
    order_id TEXT COLLATE "C" PRIMARY KEY,
    version  BIGINT NOT NULL,
    shard    BIGINT,          -- of the order's facts; unknown until the first of them came
    due_at   BIGINT,          -- when something happens without anybody asking, microseconds since 1970
    body     TEXT   NOT NULL
);
CREATE INDEX cases_due ON cases (due_at) WHERE due_at IS NOT NULL;

-- One row for each payment, for lists. Sums are minor units.
CREATE TABLE payments (
    payment_id  TEXT COLLATE "C" PRIMARY KEY,
    order_id    TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    seller      TEXT,
    psp         TEXT   NOT NULL,
    currency    TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    requested   BIGINT NOT NULL,
    wanted      BIGINT NOT NULL,
    authorized  BIGINT NOT NULL,
    captured    BIGINT NOT NULL,
    refunded    BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX payments_by_order ON payments (order_id);
CREATE INDEX payments_by_customer ON payments (customer_id, payment_id);
CREATE INDEX payments_by_status ON payments (status, payment_id);

-- Everything that happened to payments, in shards of its own. Never changed.
CREATE TABLE payment_events (
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    event    TEXT   NOT NULL,
    hash     TEXT   NOT NULL, -- of the shard's chain up to it
    PRIMARY KEY (shard, position)
);
CREATE UNIQUE INDEX payment_events_by_order ON payment_events (order_id, version);

CREATE TABLE event_heads (
    shard    BIGINT PRIMARY KEY,
    position BIGINT NOT NULL,
    hash     TEXT   NOT NULL
);

-- What is done at providers, and what is to be done next.
CREATE TABLE operations (
    operation_id TEXT COLLATE "C" PRIMARY KEY,
    order_id     TEXT COLLATE "C" NOT NULL,
    payment_id   TEXT COLLATE "C" NOT NULL,
    psp          TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    stage        TEXT   NOT NULL,
    due_at       BIGINT NOT NULL,
    generation   BIGINT NOT NULL,
    calls        BIGINT NOT NULL,
    questions    BIGINT NOT NULL,
    first_call   BIGINT,
    last_call    BIGINT,
    note         TEXT   NOT NULL,
    claim        BIGINT NOT NULL  -- moved by whoever calls or asks, so that one does
);
CREATE INDEX operations_due ON operations (due_at)
    WHERE stage IN ('DUE', 'CALLING', 'UNKNOWN', 'LOOKING');
CREATE INDEX operations_stuck ON operations (operation_id) WHERE stage = 'STUCK';

-- What customers pay with, at their provider. Deleted when the attempt ends; nowhere else.
CREATE TABLE tokens (
    order_id   TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C" NOT NULL,
    token      TEXT   NOT NULL,
    kept_at    BIGINT NOT NULL,
    PRIMARY KEY (order_id, attempt_id)
);
CREATE INDEX tokens_by_age ON tokens (kept_at);

-- What is published, without a gap; written with what it is about.
CREATE TABLE outbox (
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    subject  TEXT   NOT NULL,
    fact     TEXT   NOT NULL,
    PRIMARY KEY (shard, position)
);
CREATE TABLE outbox_heads (
    shard    BIGINT PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE FUNCTION refuse_to_forget_payments() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    RAISE EXCEPTION 'payments are append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
END
$$;
CREATE TRIGGER payment_events_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
CREATE TRIGGER operations_are_forever
    BEFORE DELETE OR TRUNCATE ON operations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
