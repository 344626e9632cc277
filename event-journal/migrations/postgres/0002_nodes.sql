-- The nodes that write to this journal, each by its process. A node that does not renew its lease
-- and has no session is gone.
CREATE TABLE nodes
(
    node_id     text PRIMARY KEY,
    name        text        NOT NULL,
    address     text        NOT NULL, -- where the others reach it, host:port
    lease_until timestamptz NOT NULL,
    joined_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE shards
    ADD COLUMN frozen text, -- why nobody may write to it, by an operator
    ADD COLUMN pinned text; -- name of the node that is to have it, by an operator
