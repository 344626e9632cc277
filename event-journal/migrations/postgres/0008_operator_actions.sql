-- What operators did to the journal and its shards, each written with its effect. Kept for ever.
CREATE TABLE operator_actions (
    id      TEXT   PRIMARY KEY, -- a UUID
    at      BIGINT NOT NULL,    -- microseconds since 1970
    role    TEXT   NOT NULL,
    subject TEXT   NOT NULL,    -- who
    verb    TEXT   NOT NULL,    -- what, such as PAUSE_FOLLOWER
    kind    TEXT   NOT NULL,    -- to what kind of thing, such as FOLLOWER
    target  TEXT   NOT NULL,    -- to which
    reason  TEXT   NOT NULL,
    before  TEXT   NOT NULL,
    after   TEXT   NOT NULL
);
CREATE INDEX operator_actions_by_time ON operator_actions (at, id);

CREATE TRIGGER operator_actions_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();
