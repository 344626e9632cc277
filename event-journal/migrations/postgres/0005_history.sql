-- A journal that was set back (a restored backup, a standby that lagged) goes on as another incarnation
-- of itself. Until somebody has accepted that, it is doubted, and nothing is appended.
ALTER TABLE journal
    ADD COLUMN incarnation         bigint NOT NULL DEFAULT 1,
    ADD COLUMN doubted             text,  -- who remembers what is not here
    ADD COLUMN doubted_incarnation bigint NOT NULL DEFAULT 0; -- the highest that they followed

-- Every incarnation after the first: why, by whom, and where the shards stood when it began.
CREATE TABLE incarnations
(
    number   bigint PRIMARY KEY,
    began_at timestamptz NOT NULL,
    reason   text        NOT NULL,
    said_by  text        NOT NULL,
    heads    json        NOT NULL -- shard -> position
);

CREATE TRIGGER incarnations_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON incarnations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

-- Facts up to here were told under ids made of their position alone, and keep these ids.
CREATE TABLE ids_by_position
(
    shard   int PRIMARY KEY,
    through bigint NOT NULL
);
INSERT INTO ids_by_position SELECT shard, head_position FROM shards WHERE head_position > 0;
