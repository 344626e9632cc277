-- Which log a cursor follows, a UUID; none where that is not known. Another log with a higher
-- incarnation is not one that somebody has accepted.
ALTER TABLE cursors ADD COLUMN log TEXT;
