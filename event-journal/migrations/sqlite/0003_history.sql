-- Which journal this is. One that was set back (a restored copy) goes on as another incarnation of
-- itself. Until somebody has accepted that, it is doubted, and nothing is appended.
CREATE TABLE journal
(
    one                 INTEGER PRIMARY KEY CHECK (one = 1),
    journal_id          TEXT   NOT NULL,
    incarnation         BIGINT NOT NULL DEFAULT 1,
    doubted             TEXT,
    doubted_incarnation BIGINT NOT NULL DEFAULT 0
);
INSERT INTO journal (one, journal_id) VALUES (1, lower(hex(randomblob(16))));

-- Every incarnation after the first: why, by whom, and where the shards stood when it began.
CREATE TABLE incarnations
(
    number   INTEGER PRIMARY KEY,
    began_at BIGINT NOT NULL, -- microseconds since 1970
    reason   TEXT   NOT NULL,
    said_by  TEXT   NOT NULL,
    heads    TEXT   NOT NULL  -- JSON: shard -> position
);

CREATE TRIGGER incarnations_are_never_updated BEFORE UPDATE ON incarnations
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: UPDATE on incarnations is refused');
END;

CREATE TRIGGER incarnations_are_never_deleted BEFORE DELETE ON incarnations
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: DELETE on incarnations is refused');
END;

-- Facts up to here were told under ids made of their position alone, and keep these ids.
CREATE TABLE ids_by_position
(
    shard   INTEGER PRIMARY KEY,
    through BIGINT NOT NULL
);
INSERT INTO ids_by_position SELECT shard, head_position FROM shards WHERE head_position > 0;
