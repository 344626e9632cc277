-- What a request said is kept with its events as a hash under a key, so that whoever reads the hash
-- alone cannot try what was said. Drawn once.
CREATE TABLE fingerprint_keys
(
    id  TEXT PRIMARY KEY,
    key BLOB NOT NULL CHECK (length(key) = 32)
);
INSERT INTO fingerprint_keys (id, key) VALUES (lower(hex(randomblob(4))), randomblob(32));

CREATE TRIGGER fingerprint_keys_are_never_updated BEFORE UPDATE ON fingerprint_keys
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: UPDATE on fingerprint_keys is refused');
END;

CREATE TRIGGER fingerprint_keys_are_never_deleted BEFORE DELETE ON fingerprint_keys
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: DELETE on fingerprint_keys is refused');
END;
