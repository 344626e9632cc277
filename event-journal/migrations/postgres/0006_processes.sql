-- What each process that owned shards was on its machine, by which another process there can see that
-- it is gone and need not wait for its lease to run out.
CREATE TABLE processes
(
    process  text PRIMARY KEY,
    identity text        NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp()
);
