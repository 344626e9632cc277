SELECT wanted.id, aggregate_id, sequence, event_type, event_version,
       payload::text AS payload, metadata::text AS metadata,
       shard, position, recorded_at, positions
FROM unnest($1::text[], $2::uuid[]) AS wanted (order_id, id)
LEFT JOIN archived_orders ON archived_orders.order_id = wanted.id
LEFT JOIN events AS event ON aggregate_type = 'order' AND aggregate_id = wanted.order_id
ORDER BY wanted.id, sequence
