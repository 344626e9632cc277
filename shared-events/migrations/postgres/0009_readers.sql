-- Which database this is, a random text; and whether an operator has said that it is a new one. An
-- emptied database is another one.
CREATE TABLE identity (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    id   TEXT   NOT NULL,
    anew BIGINT NOT NULL -- 1: said
);
-- One that was used before it had an identity is not known elsewhere either.
INSERT INTO identity
SELECT 1, gen_random_uuid()::TEXT, CASE WHEN EXISTS (SELECT 1 FROM cursors) THEN 1 ELSE 0 END;

-- The readers of the log that is published from here that have read anything, and the identity of
-- the database in which each keeps its position; beside orders, the other services, too.
CREATE TABLE readers (
    follower TEXT PRIMARY KEY,
    identity TEXT NOT NULL
);
