-- What stood at a cursor's position: the first eight bytes of the log's hash there, as a signed number.
-- Without it a log that was set back and has grown again looks like the one that was followed.
ALTER TABLE cursors ADD COLUMN mark BIGINT;
-- Which incarnation of the log that was; 0 where it is not known.
ALTER TABLE cursors ADD COLUMN incarnation BIGINT NOT NULL DEFAULT 0;

-- Earlier places of a cursor, further apart the older they are: from which place on a log tells
-- another history is found among them.
CREATE TABLE cursor_places (
    follower TEXT   NOT NULL,
    shard    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    mark     BIGINT NOT NULL,
    PRIMARY KEY (follower, shard, position)
);
