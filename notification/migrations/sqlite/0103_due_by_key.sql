-- A plan made while nothing is due finds both indexes equally cheap, and one that holds the key as
-- well would be read from end to end for every message that is asked for by it.
DROP INDEX due_by_time;
CREATE INDEX due_by_time ON due (at);
