-- Each way out takes what is its own: a mail server that does not answer holds up no webhook. A program that
-- does not know the column writes what somebody will take all the same.
ALTER TABLE due ADD COLUMN channel TEXT NOT NULL DEFAULT 'EMAIL'
    CHECK (channel IN ('EMAIL', 'SMS', 'WEBHOOK'));
UPDATE due SET channel = notifications.channel FROM notifications
    WHERE notifications.serial = due.serial;
DROP INDEX due_by_time;
CREATE INDEX due_by_time ON due (channel, at, serial);
