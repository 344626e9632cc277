-- Who is paid out because somebody asked, or by the clock. The sellers are gone through in their
-- order; where that is, is here.
CREATE TABLE payout_runs (
    run_id         TEXT COLLATE "C" PRIMARY KEY,
    seller         TEXT,            -- only this one
    currency       TEXT,            -- only in this one
    psp            TEXT   NOT NULL, -- who pays
    state          TEXT   NOT NULL, -- RUNNING or DONE
    after_seller   TEXT,            -- the last that was gone through
    after_currency TEXT,
    payouts        BIGINT NOT NULL, -- made so far
    started_at     BIGINT NOT NULL, -- microseconds since 1970
    ended_at       BIGINT,
    due_at         BIGINT NOT NULL,
    tries          BIGINT NOT NULL, -- in vain, in a row
    note           TEXT   NOT NULL,
    claim          BIGINT NOT NULL  -- moved by whoever goes on with it, so that one does
);
CREATE INDEX payout_runs_due ON payout_runs (due_at) WHERE state = 'RUNNING';

-- What is paid out to sellers, and what is to be done next about it.
CREATE TABLE payouts (
    payout_id   TEXT COLLATE "C" PRIMARY KEY,
    run_id      TEXT COLLATE "C" NOT NULL,
    seller      TEXT COLLATE "C" NOT NULL,
    currency    TEXT   NOT NULL,
    amount      BIGINT NOT NULL CHECK (amount >= 0), -- minor units; 0 until it was counted
    psp         TEXT COLLATE "C" NOT NULL,
    state       TEXT   NOT NULL,
    settles     TEXT,               -- what the provider has said, while that is not booked
    code        TEXT   NOT NULL,
    reference   TEXT COLLATE "C",
    made_at     BIGINT NOT NULL,
    paid_at     BIGINT,
    returned_at BIGINT,
    restored_at BIGINT,             -- of one that came back after it was paid, by the book's time
    updated_at  BIGINT NOT NULL,
    stage       TEXT   NOT NULL,
    due_at      BIGINT NOT NULL,
    generation  BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    questions   BIGINT NOT NULL,
    first_call  BIGINT,
    last_call   BIGINT,
    note        TEXT   NOT NULL,
    claim       BIGINT NOT NULL     -- moved by whoever takes it up, so that one does
);
-- What a seller has is counted by one payout at a time: two would hold the same money.
CREATE UNIQUE INDEX payouts_collecting ON payouts (seller, currency) WHERE state = 'COLLECTING';
CREATE INDEX payouts_due ON payouts (due_at)
    WHERE stage IN ('DUE', 'CALLING', 'UNKNOWN', 'LOOKING');
CREATE INDEX payouts_by_seller ON payouts (seller, payout_id);
CREATE INDEX payouts_by_run ON payouts (run_id, payout_id);
CREATE INDEX payouts_by_state ON payouts (state, payout_id);
CREATE INDEX payouts_by_reference ON payouts (psp, reference) WHERE reference IS NOT NULL;
CREATE INDEX payouts_restored ON payouts (seller, currency, restored_at)
    WHERE restored_at IS NOT NULL;
CREATE INDEX payouts_stuck_since ON payouts (updated_at, payout_id) WHERE state = 'STUCK';
-- The sellers that there are.
CREATE INDEX payments_by_seller ON payments (seller, currency) WHERE seller IS NOT NULL;

-- Sellers who owe more than they may, as the last run has seen it.
CREATE TABLE payout_debts (
    seller   TEXT COLLATE "C" NOT NULL,
    currency TEXT   NOT NULL,
    owed     BIGINT NOT NULL, -- minor units
    since    BIGINT NOT NULL,
    PRIMARY KEY (seller, currency)
);
CREATE INDEX payout_debts_since ON payout_debts (since, seller, currency);

CREATE TRIGGER payouts_are_forever
    BEFORE DELETE OR TRUNCATE ON payouts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
CREATE TRIGGER payout_runs_are_forever
    BEFORE DELETE OR TRUNCATE ON payout_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
