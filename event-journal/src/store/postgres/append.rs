//! The append: the fence and the events in one statement.

use std::sync::LazyLock;

use sqlx::postgres::PgDatabaseError;

use super::session::PostgresStore;
use super::types::Instant;
use crate::store::head::{Batch, CommitError};

/// One statement, so that one round trip appends everything or nothing. Each event takes its shard
/// from the row that the fence hit; where it hit none the shard is null, which the table refuses,
/// and the statement has no effect. A version that was archived, which the primary key no longer
/// knows, becomes null likewise; where no stream was ever archived that is found once for the whole
/// statement.
const APPEND: &str = include_str!("sql/append.sql");

/// The same for a batch that takes keys: they are in the one statement, too.
static APPEND_TAKING_KEYS: LazyLock<String> = LazyLock::new(|| {
    let keys = "\n), taken AS (
    INSERT INTO unique_keys (key, order_id)
    SELECT key, order_id FROM unnest($16::text[], $17::text[]) AS taken (key, order_id)
)\nINSERT INTO events";
    APPEND.replacen("\n)\nINSERT INTO events", keys, 1)
});

impl PostgresStore {
    pub(crate) async fn append(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut connection =
            self.writer().await.map_err(|error| CommitError::Unavailable(error.to_string()))?;
        let fences = || batch.fences.iter();
        let events = || batch.events.iter().map(|chained| &chained.event);
        let append = if batch.keys.is_empty() { APPEND } else { APPEND_TAKING_KEYS.as_str() };
        #[cfg(feature = "planted-bugs")]
        let append = if shared_events::planted::is("append-without-epoch") {
            &append.replace("AND shards.epoch = fence.epoch", "AND fence.epoch > 0")
        } else {
            append
        };
        let statement = sqlx::query(append)
            .bind(fences().map(|fence| i32::from(fence.before.shard)).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.before.epoch.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.before.position.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.after.position.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.after.hash.as_slice()).collect::<Vec<_>>())
            .bind(events().map(|event| event.stream_id.to_string()).collect::<Vec<_>>())
            .bind(events().map(|event| event.sequence.cast_signed()).collect::<Vec<_>>())
            .bind(events().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.event_version.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.payload.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.metadata.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| i32::from(event.shard)).collect::<Vec<_>>())
            .bind(events().map(|event| event.position.cast_signed()).collect::<Vec<_>>())
            .bind(events().map(|event| Instant(event.recorded_at)).collect::<Vec<_>>())
            .bind(batch.events.iter().map(|chained| chained.hash.as_slice()).collect::<Vec<_>>());
        let statement = if batch.keys.is_empty() {
            statement
        } else {
            statement
                .bind(batch.keys.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
                .bind(batch.keys.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())
        };
        let done = statement
            // Returns when the server is ready for the next query: after the commit.
            .execute(&mut connection)
            .await
            .map_err(|error| outcome(&error));
        if !matches!(done, Err(CommitError::Unknown(_))) {
            self.keep(connection).await;
        }
        done.map(drop)
    }
}

/// What an error of the append means for its outcome. The server's own errors come with a rollback,
/// except those that end the session: these may follow a commit.
fn outcome(error: &sqlx::Error) -> CommitError {
    let sqlx::Error::Database(database) = error else {
        return CommitError::Unknown(error.to_string());
    };
    let code = database.code().unwrap_or_default();
    let column = database.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::column);
    match (code.as_ref(), column, database.constraint()) {
        ("23502", Some("shard"), _) => CommitError::Superseded,
        ("23502", Some("sequence"), _) | ("23505", _, Some("events_pkey")) => CommitError::Conflict,
        ("23505", _, Some("unique_keys_pkey")) => CommitError::KeyTaken,
        ("23505", ..) => CommitError::Unavailable(format!("the position is taken: {error}")),
        (code, ..) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            CommitError::Refused(error.to_string())
        }
        ("57014", ..) => CommitError::Unavailable(error.to_string()),
        (code, ..) if ["08", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) => {
            CommitError::Unknown(error.to_string())
        }
        _ => CommitError::Unavailable(error.to_string()),
    }
}
