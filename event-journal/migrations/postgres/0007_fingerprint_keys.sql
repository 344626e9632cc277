-- What a request said is kept with its events as a hash under a key, so that whoever reads the hash
-- alone cannot try what was said. Drawn once; shards that move to another database take theirs along.
CREATE TABLE fingerprint_keys
(
    id  text PRIMARY KEY,
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);
INSERT INTO fingerprint_keys (id, key)
SELECT left(replace(gen_random_uuid()::text, '-', ''), 8),
       decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

CREATE TRIGGER fingerprint_keys_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON fingerprint_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();
