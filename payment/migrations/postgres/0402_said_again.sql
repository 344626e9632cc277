-- What was said once and may be said again: the same changes nothing, other content is refused.

-- What each attempt pays with, as a hash under a key, so that whoever reads the hash alone cannot
-- try tokens. Kept for longer than the token.
CREATE TABLE attempts (
    order_id   TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C" NOT NULL,
    pays_with  TEXT NOT NULL,
    PRIMARY KEY (order_id, attempt_id)
);

-- The key of these hashes, as 64 hexadecimal digits. Drawn once.
CREATE TABLE fingerprint_keys (key TEXT PRIMARY KEY CHECK (length(key) = 64));
INSERT INTO fingerprint_keys (key)
SELECT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');

-- What a person last said of an operation, or of a webhook.
CREATE TABLE resolutions (
    target TEXT COLLATE "C" PRIMARY KEY,
    said   TEXT NOT NULL
);

CREATE TRIGGER fingerprint_keys_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON fingerprint_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget_payments();
