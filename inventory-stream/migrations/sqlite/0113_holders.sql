-- The state of a row tells reservations that hold units (RESERVED) from those of which every unit
-- was shipped or released (DONE), so that an index finds the holders of a product.
UPDATE reservations SET state = 'DONE'
WHERE state = 'RESERVED' AND NOT EXISTS (
    SELECT 1 FROM json_each(body, '$.lines') AS line
    WHERE (line.value ->> 'quantity') > (line.value ->> 'released') + (line.value ->> 'committed')
);
CREATE INDEX reservations_holding ON reservations (order_id) WHERE state = 'RESERVED';
