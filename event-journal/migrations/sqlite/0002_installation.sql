-- Which installation this file belongs to and by what name, so that the files of a directory know
-- each other.
CREATE TABLE installation (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    id      TEXT   NOT NULL, -- the same in every file of the directory
    file    TEXT   NOT NULL, -- such as inventory.db
    written BIGINT NOT NULL  -- how often it was tried whether the file takes writes
);

-- The files that this one has stood beside.
CREATE TABLE siblings (
    file TEXT PRIMARY KEY
);
