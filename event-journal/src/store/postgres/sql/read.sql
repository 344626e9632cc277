SELECT event.aggregate_id, event.sequence, event.event_type, event.event_version,
       event.payload::text AS payload, event.metadata::text AS metadata,
       event.shard, event.position, event.recorded_at, event.hash
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS range (shard, after, through)
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE events.shard = range.shard AND events.position > range.after
      AND events.position <= range.through AND events.aggregate_type = 'order'
    ORDER BY events.position
) AS event
ORDER BY event.shard, event.position
