-- Keys that at most one stream has, such as a number that people know an order by. A key is taken in
-- the transaction that appends the event that takes it. Kept for ever.
CREATE TABLE unique_keys
(
    key      TEXT PRIMARY KEY,
    order_id TEXT NOT NULL
);

CREATE TRIGGER unique_keys_are_never_updated BEFORE UPDATE ON unique_keys
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: UPDATE on unique_keys is refused');
END;

CREATE TRIGGER unique_keys_are_never_deleted BEFORE DELETE ON unique_keys
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: DELETE on unique_keys is refused');
END;
