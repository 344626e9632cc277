-- Of which journal this database holds shards. Written when it is made; never changed but for its completion.
CREATE TABLE journal
(
    journal_id  uuid    NOT NULL,
    database_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    shards      int     NOT NULL CHECK (shards > 0), -- of the whole journal, in all its databases
    complete    boolean NOT NULL                     -- false until all its databases are made
);
CREATE UNIQUE INDEX journal_is_one ON journal ((true));

CREATE TRIGGER journal_is_forever
    BEFORE DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

-- A shard is served where it is HERE and nowhere else. While it is moved to another database it is
-- LEAVING one and COMING to the other, and then GONE from the first. Nobody owns it anywhere else, also
-- no program that is older than this.
ALTER TABLE shards
    ADD COLUMN state text NOT NULL DEFAULT 'HERE'
        CHECK (state IN ('HERE', 'LEAVING', 'COMING', 'GONE')),
    ADD CONSTRAINT owned_where_it_is CHECK (state = 'HERE' OR owner = '');

-- A journal from before it could have several databases has one.
INSERT INTO journal (journal_id, shards, complete)
SELECT gen_random_uuid(), COUNT(*), true FROM shards HAVING COUNT(*) > 0;
