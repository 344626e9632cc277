-- A plan made while nothing is open finds both indexes equally cheap, and one that holds the order
-- as the text that it is asked for by would be read from end to end for every order that it removes.
-- In another collation it serves the order of the list, and nothing else.
DROP INDEX deadlines_by_time;
CREATE INDEX deadlines_by_time ON deadlines (due_at, order_id COLLATE "C");
DROP INDEX deadlines_next_by_time;
CREATE INDEX deadlines_next_by_time ON deadlines_next (due_at, order_id COLLATE "C");
