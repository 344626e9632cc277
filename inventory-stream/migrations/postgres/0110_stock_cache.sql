-- Which values of a cache count: those of this generation. A new one is begun wherever it may be that
-- something in the cache is not true of this database: another process starts, the database was put
-- back or failed over, history was set back, a change could not be told. A row is there once a process
-- has used a cache.
CREATE TABLE stock_cache (
    one        BIGINT PRIMARY KEY CHECK (one = 1),
    id         TEXT   NOT NULL, -- of this database, for the names of keys
    generation TEXT   NOT NULL
);
