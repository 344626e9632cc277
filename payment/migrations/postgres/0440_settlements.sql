-- Reports of what providers paid out, each once: by the provider and the hash of its bytes.
CREATE TABLE settlements (
    id            TEXT   COLLATE "C" PRIMARY KEY, -- a UUID of both
    psp           TEXT   NOT NULL,
    hash          TEXT   NOT NULL,
    file_name     TEXT   NOT NULL,
    lines         BIGINT NOT NULL,
    new_lines     BIGINT NOT NULL, -- that stood in no report before
    matched       BIGINT NOT NULL,
    discrepancies BIGINT NOT NULL,
    unknown       BIGINT NOT NULL,
    proved        BIGINT NOT NULL, -- operations of which nobody knew what became
    asked_by      TEXT   NOT NULL,
    imported_at   BIGINT NOT NULL  -- microseconds since 1970
);
CREATE INDEX settlements_by_time ON settlements (imported_at, id);

-- Whose reports were imported. Its row is locked while one is.
CREATE TABLE settlement_psps (
    psp     TEXT COLLATE "C" PRIMARY KEY,
    reports BIGINT NOT NULL
);

-- Their lines, each once: by the provider and its name of the line. Amounts are minor units.
CREATE TABLE settlement_lines (
    psp              TEXT   COLLATE "C" NOT NULL,
    name             TEXT   COLLATE "C" NOT NULL,
    id               TEXT   NOT NULL, -- a UUID of both
    settlement_id    TEXT   COLLATE "C" NOT NULL,
    number           BIGINT NOT NULL, -- of the line in that file, from 1
    kind             TEXT   NOT NULL,
    our_reference    TEXT,
    psp_reference    TEXT,
    currency         TEXT   NOT NULL,
    gross            BIGINT NOT NULL,
    fee              BIGINT NOT NULL,
    net              BIGINT NOT NULL CHECK (gross = fee + net),
    settled_currency TEXT,
    settled          BIGINT,
    rate             TEXT,
    at               BIGINT NOT NULL,
    state            TEXT   NOT NULL, -- MATCHED, DISCREPANCY, UNKNOWN or WRITTEN_OFF
    off_by           BIGINT NOT NULL,
    order_id         TEXT   COLLATE "C",
    payment_id       TEXT,
    operation_id     TEXT   COLLATE "C",
    shard            BIGINT NOT NULL, -- of its facts
    note             TEXT   NOT NULL,
    resolved_at      BIGINT,
    PRIMARY KEY (psp, name)
);
CREATE INDEX settlement_lines_by_settlement ON settlement_lines (settlement_id, psp, name);
CREATE INDEX settlement_lines_by_state ON settlement_lines (state, psp, name)
    WHERE state <> 'MATCHED';
CREATE INDEX settlement_lines_by_order ON settlement_lines (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX settlement_lines_by_operation ON settlement_lines (operation_id)
    WHERE operation_id IS NOT NULL;

-- What was taken or paid back by us and stands: a report is to name it. What was done before this
-- migration is not here: it is matched all the same, and not missed.
CREATE TABLE to_settle (
    operation_id TEXT   COLLATE "C" PRIMARY KEY,
    psp          TEXT   NOT NULL,
    order_id     TEXT   NOT NULL,
    payment_id   TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    currency     TEXT   NOT NULL,
    amount       BIGINT NOT NULL,
    done_at      BIGINT NOT NULL
);
CREATE INDEX to_settle_by_time ON to_settle (done_at, operation_id);

CREATE TRIGGER settlements_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON settlements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
CREATE TRIGGER settlement_lines_are_forever
    BEFORE DELETE OR TRUNCATE ON settlement_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
CREATE TRIGGER settlement_amounts_are_forever
    BEFORE UPDATE OF psp, name, id, settlement_id, number, kind, our_reference, psp_reference,
        currency, gross, fee, net, settled_currency, settled, rate, at, shard ON settlement_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
