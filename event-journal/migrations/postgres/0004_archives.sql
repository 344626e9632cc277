-- The files that old events have left for: for each shard its first positions, without a gap. The
-- chain of what is in `events` goes on from the last hash of the last file.
CREATE TABLE archives
(
    shard          int         NOT NULL,
    first_position bigint      NOT NULL CHECK (first_position > 0),
    last_position  bigint      NOT NULL CHECK (last_position >= first_position),
    last_hash      bytea       NOT NULL CHECK (octet_length(last_hash) = 32),
    file           text        NOT NULL UNIQUE, -- in the archive's directory
    sha256         bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    archived_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (shard, first_position)
);

-- Orders that may have left, with the positions of their events by version. It counts only where
-- `events` has no first version of the order: rows are written before events leave.
CREATE TABLE archived_orders
(
    order_id  uuid PRIMARY KEY,
    positions bigint[] NOT NULL CHECK (cardinality(positions) > 0)
);

CREATE TRIGGER archives_are_forever
    BEFORE UPDATE OR DELETE OR TRUNCATE ON archives
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

CREATE TRIGGER archived_orders_are_forever
    BEFORE DELETE OR TRUNCATE ON archived_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

-- An order may only become longer.
CREATE TRIGGER archived_orders_only_grow
    BEFORE UPDATE ON archived_orders FOR EACH ROW
    WHEN (NEW.order_id <> OLD.order_id
          OR NEW.positions[1:cardinality(OLD.positions)] <> OLD.positions)
    EXECUTE FUNCTION refuse_to_forget();
