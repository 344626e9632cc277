//! Event tables of other tools, with the columns of postgres-es only.

use shared_events::contract::Timestamp;
use sqlx::{PgPool, Row as _};

use crate::error::JournalError;
use crate::event::StoredEvent;
use crate::id::{AGGREGATE_TYPE, StreamId};
use crate::store::rows::{unavailable, unsigned};

/// Reads a stream from an `events` table with the columns of postgres-es only, such as one that
/// another cqrs-es tool created. The missing columns get fixed values: shard and position 0, the
/// time 1970.
///
/// # Errors
/// [`JournalError::Broken`] where a version is missing, [`JournalError::Unavailable`].
pub async fn load_standard(
    pool: &PgPool,
    stream_id: impl Into<StreamId>,
) -> Result<Vec<StoredEvent>, JournalError> {
    let stream_id = stream_id.into();
    let rows = sqlx::query(
        "SELECT sequence, event_type, event_version, payload::text AS payload,
                metadata::text AS metadata
         FROM events WHERE aggregate_type = 'order' AND aggregate_id = $1 ORDER BY sequence",
    )
    .bind(stream_id.to_string())
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let mut events = Vec::with_capacity(rows.len());
    for (before, row) in (0..).zip(&rows) {
        let sequence = unsigned(row, "sequence")?;
        if sequence != before + 1 {
            let detail =
                format!("{AGGREGATE_TYPE}/{stream_id}@{before} is followed by version {sequence}");
            return Err(JournalError::Broken { shard: 0, position: 0, detail });
        }
        events.push(StoredEvent {
            stream_id,
            sequence,
            shard: 0,
            position: 0,
            recorded_at: Timestamp::default(),
            event_type: row.try_get("event_type").map_err(unavailable)?,
            event_version: row.try_get("event_version").map_err(unavailable)?,
            payload: row.try_get("payload").map_err(unavailable)?,
            metadata: row.try_get("metadata").map_err(unavailable)?,
        });
    }
    Ok(events)
}
