-- What other systems added to the trace that opened an operation (W3C tracestate), at most 512
-- characters. NULL where they added nothing, and in rows from before.
ALTER TABLE operations ADD COLUMN tracestate TEXT;
