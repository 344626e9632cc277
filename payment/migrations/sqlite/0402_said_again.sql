-- What was said once and may be said again: the same changes nothing, other content is refused.

-- What each attempt pays with, as a hash under a key, so that whoever reads the hash alone cannot
-- try tokens. Kept for longer than the token.
CREATE TABLE attempts (
    order_id   TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    pays_with  TEXT NOT NULL,
    PRIMARY KEY (order_id, attempt_id)
);

-- The key of these hashes, as 64 hexadecimal digits. Drawn once.
CREATE TABLE fingerprint_keys (key TEXT PRIMARY KEY CHECK (length(key) = 64));
INSERT INTO fingerprint_keys (key) VALUES (lower(hex(randomblob(32))));

-- What a person last said of an operation, or of a webhook.
CREATE TABLE resolutions (
    target TEXT NOT NULL PRIMARY KEY,
    said   TEXT NOT NULL
);

CREATE TRIGGER fingerprint_keys_refuse_update BEFORE UPDATE ON fingerprint_keys
BEGIN
    SELECT RAISE(ABORT, 'payments are append-only: UPDATE on fingerprint_keys is refused');
END;
CREATE TRIGGER fingerprint_keys_refuse_delete BEFORE DELETE ON fingerprint_keys
BEGIN
    SELECT RAISE(ABORT, 'payments are append-only: DELETE on fingerprint_keys is refused');
END;
