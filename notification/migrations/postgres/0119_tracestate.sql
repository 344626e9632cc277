-- What other systems added to the trace that a message belongs to (W3C tracestate), at most 512
-- characters. NULL where they added nothing, and in rows from before.
ALTER TABLE message_traces ADD COLUMN tracestate TEXT;
