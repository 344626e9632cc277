WITH fenced AS (
    UPDATE shards SET head_position = fence.head_position, head_hash = fence.head_hash
    FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
         AS fence (shard, epoch, was_position, head_position, head_hash)
    WHERE shards.shard = fence.shard AND shards.epoch = fence.epoch
      AND shards.head_position = fence.was_position
    RETURNING shards.shard
)
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                    metadata, shard, position, recorded_at, hash)
SELECT 'order', event.aggregate_id,
       CASE WHEN NOT EXISTS (SELECT FROM archived_orders)
              OR event.sequence > coalesce((SELECT cardinality(positions) FROM archived_orders
                                            WHERE order_id = event.aggregate_id::uuid), 0)
            THEN event.sequence END, event.event_type, event.event_version,
       event.payload::json, event.metadata::json, fenced.shard, event.position, event.recorded_at,
       event.hash
FROM unnest($6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::int[],
            $13::bigint[], $14::timestamptz[], $15::bytea[])
     AS event (aggregate_id, sequence, event_type, event_version, payload, metadata, shard,
               position, recorded_at, hash)
LEFT JOIN fenced ON fenced.shard = event.shard
