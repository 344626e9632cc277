//! Reads rows of either database, in one place.

use shared_events::contract::Timestamp;
use shared_events::stream::{DatabaseError, OperatorAction};
use sqlx::query::Query;
use sqlx::{ColumnIndex, Decode, Encode, Row, Type};
use uuid::Uuid;

use super::chronicle::{Beginning, Chronicle};
use super::head::Head;
use crate::error::JournalError;
use crate::event::{ChainedEvent, Quarantined, StoredEvent, UniqueKey};
use crate::files::Archived;
use crate::id::StreamId;
use crate::keys::Key;

/// The first position after this one that has an event.
pub(crate) const NEXT_AFTER: &str =
    "SELECT MIN(position) FROM events WHERE shard = $1 AND position > $2";

/// Events at positions that no writer can have written.
pub(crate) const BEYOND_HEADS: &str = "
SELECT CAST(events.shard AS BIGINT) AS in_shard, position, aggregate_id
FROM events LEFT JOIN shards ON shards.shard = events.shard
WHERE shards.shard IS NULL OR position > head_position
ORDER BY 1, 2 LIMIT $1";

/// The keys of fingerprints.
pub(crate) const KEYS: &str = "SELECT id, key FROM fingerprint_keys ORDER BY id";

/// The streams that have keys: all keys after one of them.
pub(crate) const UNIQUE_KEYS: &str =
    "SELECT key, order_id FROM unique_keys WHERE key > $1 ORDER BY key LIMIT $2";

/// Records a stream with an impossible history; the first finding keeps its time.
pub(crate) const QUARANTINE: &str = "
INSERT INTO quarantined (order_id, reason, since) VALUES ($1, $2, $3)
ON CONFLICT (order_id) DO UPDATE SET reason = excluded.reason";

/// All of them.
pub(crate) const QUARANTINED: &str = "SELECT * FROM quarantined ORDER BY order_id";
pub(crate) const COUNT_QUARANTINED: &str = "SELECT COUNT(*) FROM quarantined";

/// Records that a reader remembers more than the journal holds, unless it followed an earlier
/// incarnation.
pub(crate) const DOUBT: &str = "
UPDATE journal SET doubted = $1, doubted_incarnation = $2
WHERE incarnation <= $2 AND (doubted IS NULL OR doubted_incarnation < $2)";

/// Records an operator's action.
pub(crate) const NOTE_ACTION: &str = "
INSERT INTO operator_actions (id, at, role, subject, verb, kind, target, reason, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";

/// A row, field by field, whatever the database calls the types of its columns.
pub(crate) trait Fields {
    /// Text.
    fn text(&self, column: &'static str) -> Result<&str, JournalError>;
    /// Text, or NULL.
    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, JournalError>;
    /// A number of 64 bits.
    fn number(&self, column: &'static str) -> Result<i64, JournalError>;
    /// Bytes.
    fn bytes(&self, column: &'static str) -> Result<&[u8], JournalError>;
    /// The number of a shard, in the column of that name.
    fn shard(&self) -> Result<u16, JournalError>;
    /// A time, to the microsecond.
    fn time(&self, column: &'static str) -> Result<Timestamp, JournalError>;
    /// The id of the journal.
    fn journal_id(&self) -> Result<Uuid, JournalError>;
}

pub(crate) fn unavailable(error: impl std::fmt::Display) -> JournalError {
    JournalError::Unavailable(error.to_string())
}

pub(crate) fn impossible(detail: &str) -> JournalError {
    JournalError::Broken {
        shard: 0,
        position: 0,
        detail: format!("a row has an impossible {detail}"),
    }
}

/// A number that is never negative in our tables.
pub(crate) fn unsigned(row: &impl Fields, column: &'static str) -> Result<u64, JournalError> {
    u64::try_from(row.number(column)?).map_err(|_| impossible(column))
}

/// A key and its stream.
pub(crate) fn unique_key(row: &impl Fields) -> Result<(UniqueKey, StreamId), JournalError> {
    let key = UniqueKey::new(row.text("key")?).map_err(|_| impossible("key of a stream"))?;
    Ok((key, stream_id(row, "order_id")?))
}

fn hash(row: &impl Fields, column: &'static str) -> Result<[u8; 32], JournalError> {
    row.bytes(column)?.try_into().map_err(|_| impossible("hash"))
}

fn stream_id(row: &impl Fields, column: &'static str) -> Result<StreamId, JournalError> {
    StreamId::recorded(row.text(column)?).map_err(|_| impossible("order id"))
}

/// The head of a shard, from a row of `shards`.
pub(crate) fn head(row: &impl Fields) -> Result<Head, JournalError> {
    Ok(Head {
        shard: row.shard()?,
        epoch: unsigned(row, "epoch")?,
        position: unsigned(row, "head_position")?,
        hash: hash(row, "head_hash")?,
    })
}

/// An event, with its payload and metadata as text.
pub(crate) fn stored(row: &impl Fields) -> Result<StoredEvent, JournalError> {
    Ok(StoredEvent {
        stream_id: stream_id(row, "aggregate_id")?,
        sequence: unsigned(row, "sequence")?,
        shard: row.shard()?,
        position: unsigned(row, "position")?,
        recorded_at: row.time("recorded_at")?,
        event_type: row.text("event_type")?.to_owned(),
        event_version: row.text("event_version")?.to_owned(),
        payload: row.text("payload")?.to_owned(),
        metadata: row.text("metadata")?.to_owned(),
    })
}

/// An event with its hash in the chain.
pub(crate) fn chained(row: &impl Fields) -> Result<ChainedEvent, JournalError> {
    Ok(ChainedEvent { event: stored(row)?, hash: hash(row, "hash")? })
}

/// A stream and its version.
pub(crate) fn version(row: &impl Fields) -> Result<(StreamId, u64), JournalError> {
    Ok((stream_id(row, "aggregate_id")?, unsigned(row, "sequence")?))
}

/// A row of [`BEYOND_HEADS`].
pub(crate) fn beyond(row: &impl Fields) -> Result<(u64, u64, String), JournalError> {
    let number = |column| u64::try_from(row.number(column)?).map_err(unavailable);
    Ok((number("in_shard")?, number("position")?, row.text("aggregate_id")?.to_owned()))
}

/// A row of `archives`.
pub(crate) fn archived(row: &impl Fields) -> Result<Archived, JournalError> {
    Ok(Archived {
        shard: row.shard()?,
        first: unsigned(row, "first_position")?,
        last: unsigned(row, "last_position")?,
        last_hash: hash(row, "last_hash")?,
        file: row.text("file")?.to_owned(),
        sha256: hash(row, "sha256")?,
    })
}

/// A row of `journal`.
pub(crate) fn chronicle(row: &impl Fields) -> Result<Chronicle, JournalError> {
    Ok(Chronicle {
        journal: row.journal_id()?,
        incarnation: unsigned(row, "incarnation")?,
        doubted: row.text_or_null("doubted")?,
        doubted_incarnation: unsigned(row, "doubted_incarnation")?,
    })
}

/// A row of `incarnations`.
pub(crate) fn beginning(row: &impl Fields) -> Result<Beginning, JournalError> {
    Ok(Beginning {
        number: unsigned(row, "number")?,
        at: row.time("began_at")?,
        reason: row.text("reason")?.to_owned(),
        said_by: row.text("said_by")?.to_owned(),
        heads: row.text("heads")?.to_owned(),
    })
}

/// A shard, and up to which position its facts have ids derived from their position.
pub(crate) fn through(row: &impl Fields) -> Result<(u16, u64), JournalError> {
    Ok((row.shard()?, unsigned(row, "through")?))
}

/// A row of [`KEYS`].
pub(crate) fn key(row: &impl Fields) -> Result<Key, JournalError> {
    let bytes = row.bytes("key")?.try_into().map_err(|_| impossible("key of fingerprints"))?;
    Ok(Key { id: row.text("id")?.to_owned(), bytes })
}

/// A row of [`QUARANTINED`].
pub(crate) fn quarantined(row: &impl Fields) -> Result<Quarantined, JournalError> {
    Ok(Quarantined {
        stream_id: stream_id(row, "order_id")?,
        reason: row.text("reason")?.to_owned(),
        since: row.time("since")?,
    })
}

/// An action as [`ActionsAsked::SQL`](shared_events::stream::ActionsAsked::SQL) gives it.
pub(crate) fn action<R: Row>(row: &R) -> Result<OperatorAction, JournalError>
where
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
{
    OperatorAction::read(row).map_err(|error| match error {
        DatabaseError::Sql(error) => unavailable(error),
        _ => impossible("action of an operator"),
    })
}

/// Binds the values of [`NOTE_ACTION`].
pub(crate) fn with_action<'q, DB: sqlx::Database>(
    query: Query<'q, DB, DB::Arguments<'q>>,
    action: &'q OperatorAction,
) -> Query<'q, DB, DB::Arguments<'q>>
where
    String: Encode<'q, DB> + Type<DB>,
    &'q String: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
{
    query
        .bind(action.id.to_string())
        .bind(action.at.micros())
        .bind(&action.by.role)
        .bind(&action.by.subject)
        .bind(&action.verb)
        .bind(&action.kind)
        .bind(&action.target)
        .bind(&action.reason)
        .bind(&action.before)
        .bind(&action.after)
}
