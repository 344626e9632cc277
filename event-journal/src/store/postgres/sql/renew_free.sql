WITH node AS (
    UPDATE nodes SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
    WHERE node_id = $1
), free AS (
    SELECT shard FROM shards WHERE owner = $1 AND lease_until > '-infinity'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE shards SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
FROM free WHERE shards.shard = free.shard RETURNING shards.shard
