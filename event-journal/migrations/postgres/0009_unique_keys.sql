-- Keys that at most one stream has, such as a number that people know an order by. A key is taken in
-- the statement that appends the event that takes it. Kept for ever, also when the events are
-- archived.
CREATE TABLE unique_keys
(
    key      text COLLATE "C" PRIMARY KEY,
    order_id text NOT NULL
);

CREATE TRIGGER unique_keys_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON unique_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();
