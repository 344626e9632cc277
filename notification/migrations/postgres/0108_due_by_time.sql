-- The index gives messages in the order in which they are due, and nothing else: a plan that was made
-- while the table was empty took it for as good as the key to find messages by serial, and then read
-- it from end to end for each of them when many were due. No plan can use an expression for that.
DROP INDEX due_by_time;
CREATE INDEX due_by_time ON due (channel, at, (serial + 0));
