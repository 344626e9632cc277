-- The one book of this database: who may write it (the writer with this epoch), and where it ends.
CREATE TABLE book (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    epoch    BIGINT NOT NULL,
    position BIGINT NOT NULL, -- of the last transfer
    accounts BIGINT NOT NULL, -- opened so far
    hash     TEXT   NOT NULL, -- of the chain up to the last transfer
    at       BIGINT NOT NULL  -- when that was booked, microseconds since 1970
);
INSERT INTO book VALUES
    (1, 0, 0, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0);

-- Sums in minor units. They equal what the transfers add up to; limits count holds.
CREATE TABLE accounts (
    number         BIGINT PRIMARY KEY,
    name           TEXT   NOT NULL UNIQUE,
    kind           TEXT   NOT NULL,
    currency       TEXT   NOT NULL,
    bound          TEXT   NOT NULL,
    debits_posted  BIGINT NOT NULL CHECK (debits_posted >= 0),
    credits_posted BIGINT NOT NULL CHECK (credits_posted >= 0),
    debits_held    BIGINT NOT NULL CHECK (debits_held >= 0),
    credits_held   BIGINT NOT NULL CHECK (credits_held >= 0),
    position       BIGINT NOT NULL, -- of the last transfer that touched it
    opened_at      BIGINT NOT NULL,
    CHECK (bound <> 'DEBITS_WITHIN_CREDITS' OR debits_posted + debits_held <= credits_posted),
    CHECK (bound <> 'CREDITS_WITHIN_DEBITS' OR credits_posted + credits_held <= debits_posted)
);

-- The answer to every entry: where it stands, or why it was refused. Never changed.
CREATE TABLE entries (
    id          TEXT   PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    first       BIGINT,          -- position of its first transfer
    legs        BIGINT NOT NULL, -- 0 where it was refused
    refusal     TEXT,            -- JSON
    reason      TEXT,
    asked_by    TEXT,
    at          BIGINT NOT NULL
);
CREATE UNIQUE INDEX entries_by_position ON entries (first) WHERE first IS NOT NULL;

-- The book. Never changed.
CREATE TABLE transfers (
    position   BIGINT PRIMARY KEY,
    entry      TEXT   NOT NULL,
    leg        BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    debit      BIGINT NOT NULL,
    credit     BIGINT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    hold       TEXT,
    expires_at BIGINT,
    at         BIGINT NOT NULL,
    hash       TEXT   NOT NULL,
    -- Sums of both accounts afterwards: debits posted, credits posted, debits held, credits held.
    d_dp BIGINT NOT NULL, d_cp BIGINT NOT NULL, d_dh BIGINT NOT NULL, d_ch BIGINT NOT NULL,
    c_dp BIGINT NOT NULL, c_cp BIGINT NOT NULL, c_dh BIGINT NOT NULL, c_ch BIGINT NOT NULL
);
CREATE INDEX transfers_by_debit ON transfers (debit, position);
CREATE INDEX transfers_by_credit ON transfers (credit, position);

CREATE TABLE holds (
    id         TEXT   PRIMARY KEY,
    debit      BIGINT NOT NULL,
    credit     BIGINT NOT NULL,
    amount     BIGINT NOT NULL,
    state      TEXT   NOT NULL,
    posted     BIGINT NOT NULL,
    expires_at BIGINT,
    made       BIGINT NOT NULL, -- position of the transfer that made it
    ended      BIGINT,          -- and of the one that ended it
    CHECK (0 <= posted AND posted <= amount)
);
CREATE INDEX holds_due ON holds (expires_at) WHERE state = 'HELD' AND expires_at IS NOT NULL;

CREATE TRIGGER transfers_refuse_update BEFORE UPDATE ON transfers
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: UPDATE on transfers is refused');
END;
CREATE TRIGGER transfers_refuse_delete BEFORE DELETE ON transfers
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: DELETE on transfers is refused');
END;
CREATE TRIGGER entries_refuse_update BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: UPDATE on entries is refused');
END;
CREATE TRIGGER entries_refuse_delete BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: DELETE on entries is refused');
END;
CREATE TRIGGER accounts_refuse_delete BEFORE DELETE ON accounts
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: DELETE on accounts is refused');
END;
CREATE TRIGGER holds_refuse_delete BEFORE DELETE ON holds
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: DELETE on holds is refused');
END;
CREATE TRIGGER terms_refuse_update
    BEFORE UPDATE OF number, name, kind, currency, bound, opened_at ON accounts
BEGIN
    SELECT RAISE(ABORT, 'the book is append-only: UPDATE of terms of accounts is refused');
END;
