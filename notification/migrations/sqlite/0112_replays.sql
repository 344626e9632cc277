-- What each replay was asked for at its first page: its id is of no other.
CREATE TABLE replays (
    replay_id TEXT   NOT NULL PRIMARY KEY,
    asked     TEXT   NOT NULL, -- endpoint, times and positions
    at        BIGINT NOT NULL
);
