-- What providers told by webhooks, each once: stored before it is answered. Bodies are not kept,
-- only what is needed of them.
CREATE TABLE webhooks (
    psp          TEXT   NOT NULL,
    event_id     TEXT   NOT NULL,
    shard        BIGINT NOT NULL,
    position     BIGINT NOT NULL,  -- in its shard, from 1 without a gap
    received_at  BIGINT NOT NULL,  -- microseconds since 1970
    kind         TEXT   NOT NULL,
    reference    TEXT,             -- the provider's names of what it is about
    payment      TEXT,
    operation_id TEXT,             -- ours, where it says so
    told         TEXT   NOT NULL,  -- JSON
    state        TEXT   NOT NULL,  -- WAITING, HANDLED, PARKED or DROPPED
    due_at       BIGINT NOT NULL,
    tries        BIGINT NOT NULL,
    note         TEXT   NOT NULL,
    order_id     TEXT,             -- once it was handled
    settled_at   BIGINT,
    PRIMARY KEY (psp, event_id)
);
CREATE UNIQUE INDEX webhooks_in_order ON webhooks (shard, position);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE state = 'WAITING';
-- Lists of what is not handled, and who has waited longest for a person.
CREATE INDEX webhooks_waiting ON webhooks (psp, event_id) WHERE state = 'WAITING';
CREATE INDEX webhooks_parked ON webhooks (psp, event_id) WHERE state = 'PARKED';
CREATE INDEX webhooks_dropped ON webhooks (psp, event_id) WHERE state = 'DROPPED';
CREATE INDEX webhooks_parked_since ON webhooks (settled_at, psp, event_id) WHERE state = 'PARKED';
CREATE INDEX operations_stuck_since ON operations (COALESCE(last_call, due_at), operation_id)
    WHERE stage = 'STUCK';
-- What waits for an operation is woken by it.
CREATE INDEX webhooks_by_operation ON webhooks (psp, operation_id) WHERE state = 'WAITING';
CREATE INDEX webhooks_by_reference ON webhooks (psp, reference) WHERE state = 'WAITING';
CREATE INDEX webhooks_by_payment ON webhooks (psp, payment) WHERE state = 'WAITING';

CREATE TABLE webhook_heads (
    shard    BIGINT PRIMARY KEY,
    position BIGINT NOT NULL
);

-- Payments by the provider's names of what was done for them.
CREATE TABLE psp_references (
    psp          TEXT NOT NULL,
    reference    TEXT NOT NULL,
    order_id     TEXT NOT NULL,
    payment_id   TEXT NOT NULL,
    PRIMARY KEY (psp, reference)
);
INSERT INTO psp_references
SELECT json_extract(cases.body, '$.plan.psp'), json_extract(one.value, '$.reference'),
       cases.order_id, json_extract(payment.value, '$.id')
FROM cases, json_each(cases.body, '$.payments') AS payment,
     json_each(payment.value, '$.operations') AS one
WHERE json_extract(one.value, '$.reference') IS NOT NULL
ON CONFLICT (psp, reference) DO NOTHING;

-- Where customers act at their bank. Deleted when the attempt ends; nowhere else.
CREATE TABLE actions (
    operation_id TEXT PRIMARY KEY,
    order_id     TEXT NOT NULL,
    payment_id   TEXT   NOT NULL,
    url          TEXT   NOT NULL,
    kept_at      BIGINT NOT NULL
);
CREATE INDEX actions_by_order ON actions (order_id);
CREATE INDEX actions_by_age ON actions (kept_at);

-- Disputes, for operators.
CREATE TABLE disputes (
    payment_id TEXT   NOT NULL,
    dispute_id TEXT   NOT NULL,
    order_id   TEXT   NOT NULL,
    psp        TEXT   NOT NULL,
    respond_by BIGINT,
    opened_at  BIGINT NOT NULL,
    outcome    TEXT,
    PRIMARY KEY (payment_id, dispute_id)
);
CREATE INDEX disputes_open ON disputes (opened_at) WHERE outcome IS NULL;
CREATE INDEX disputes_to_answer ON disputes (COALESCE(respond_by, opened_at), dispute_id)
    WHERE outcome IS NULL;

CREATE TRIGGER webhooks_refuse_delete BEFORE DELETE ON webhooks
BEGIN
    SELECT RAISE(ABORT, 'payments are append-only: DELETE on webhooks is refused');
END;
