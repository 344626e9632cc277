-- Followers that an operator has paused. They keep their cursors and go on where they were.
CREATE TABLE paused_followers (
    follower TEXT   PRIMARY KEY,
    reason   TEXT   NOT NULL,
    since    BIGINT NOT NULL -- microseconds since 1970
);
