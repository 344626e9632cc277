use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{instant, json, number, word};
use crate::domain::Event;

/// Shards of the history, so that writers of different orders seldom wait for each other.
pub const EVENT_SHARDS: u16 = 16;

/// A hash of a chain.
pub(crate) type Hash = [u8; 32];

/// The shard of an order's history: by the last byte of its id, which is random.
#[must_use]
pub fn shard_of(order: OrderId) -> u16 {
    let [.., last] = *order.uuid().as_bytes();
    u16::from(last) % EVENT_SHARDS
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its shard.
    pub shard: u16,
    /// Its position there, from 1 without a gap.
    pub position: u64,
    /// The order.
    pub order_id: OrderId,
    /// Which event of the order it is, from 1.
    pub version: u64,
    /// When it was written.
    pub at: Timestamp,
    /// As JSON.
    pub event: String,
    /// The hash of the shard's chain up to it.
    pub hash: Hash,
}

impl StoredEvent {
    /// The hash of the chain with it at its end.
    #[must_use]
    pub fn chained(&self, before: &Hash) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before).update(&self.shard.to_le_bytes());
        hasher.update(&self.position.to_le_bytes()).update(self.order_id.uuid().as_bytes());
        hasher.update(&self.version.to_le_bytes()).update(&self.at.micros().to_le_bytes());
        hasher.update(self.event.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// What happened.
    ///
    /// # Errors
    /// [`DatabaseError::Corrupt`]
    pub fn parsed(&self) -> Result<Event, DatabaseError> {
        serde_json::from_str(&self.event).map_err(|_| DatabaseError::Corrupt("event of a payment"))
    }
}

#[derive(Serialize)]
struct Row<'a> {
    shard: u16,
    position: u64,
    order_id: OrderId,
    version: u64,
    at: i64,
    event: &'a str,
    hash: String,
}

/// Adds events at the ends of their shards. Other writers of these shards wait for this
/// transaction.
pub(super) async fn append(
    database: &Database,
    tx: &mut Tx,
    mut events: Vec<StoredEvent>,
) -> Result<(), DatabaseError> {
    if events.is_empty() {
        return Ok(());
    }
    let shards: BTreeSet<u16> = events.iter().map(|event| event.shard).collect();
    let mut heads = take(tx, &shards).await?;
    for event in &mut events {
        let head = heads.get_mut(&event.shard).ok_or(DatabaseError::Corrupt("head of events"))?;
        event.position = head.0 + 1;
        event.hash = event.chained(&head.1);
        *head = (event.position, event.hash);
    }
    let row = |event: &StoredEvent| {
        let StoredEvent { shard, position, order_id, version, at, .. } = *event;
        json(&Row {
            shard,
            position,
            order_id,
            version,
            at: at.micros(),
            event: &event.event,
            hash: hex::encode(event.hash),
        })
    };
    let rows = events.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let sql = database.sql(
        "INSERT INTO payment_events
         SELECT shard, position, order_id, version, at, event, hash
         FROM json_to_recordset($1::json) AS row(shard BIGINT, position BIGINT, order_id TEXT,
             version BIGINT, at BIGINT, event TEXT, hash TEXT)",
        "INSERT INTO payment_events
         SELECT value ->> 'shard', value ->> 'position', value ->> 'order_id', value ->> 'version',
                value ->> 'at', value ->> 'event', value ->> 'hash' FROM json_each($1)",
    );
    let rows = format!("[{}]", rows.join(","));
    sqlx::query(sql).bind(rows).execute(&mut **tx).await?;
    for (shard, (position, hash)) in heads {
        let sql = "UPDATE event_heads SET position = $2, hash = $3 WHERE shard = $1";
        let query = sqlx::query(sql).bind(i64::from(shard));
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        query.bind(position).bind(hex::encode(hash)).execute(&mut **tx).await?;
    }
    Ok(())
}

/// The ends of shards, locked in order.
async fn take(
    tx: &mut Tx,
    shards: &BTreeSet<u16>,
) -> Result<BTreeMap<u16, (u64, Hash)>, DatabaseError> {
    let mut heads = BTreeMap::new();
    for shard in shards {
        let sql = "INSERT INTO event_heads (shard, position, hash) VALUES ($1, 0, $2)
                   ON CONFLICT (shard) DO UPDATE SET position = event_heads.position
                   RETURNING position, hash";
        let query = sqlx::query(sql).bind(i64::from(*shard)).bind(hex::encode(Hash::default()));
        let row = query.fetch_one(&mut **tx).await?;
        heads.insert(*shard, (number(&row, 0, "head of events")?, hash(&row, 1)?));
    }
    Ok(heads)
}

fn hash(row: &AnyRow, column: usize) -> Result<Hash, DatabaseError> {
    let text: String = row.try_get(column)?;
    let mut hash = Hash::default();
    hex::decode_to_slice(&text, &mut hash).map_err(|_| DatabaseError::Corrupt("hash"))?;
    Ok(hash)
}

const EVENT: &str =
    "SELECT shard, position, order_id, version, at, event, hash FROM payment_events";

fn stored(row: &AnyRow) -> Result<StoredEvent, DatabaseError> {
    Ok(StoredEvent {
        shard: number(row, 0, "shard")?,
        position: number(row, 1, "position")?,
        order_id: word(row, 2, "order of an event")?,
        version: number(row, 3, "version of an event")?,
        at: instant(row, 4)?,
        event: row.try_get(5)?,
        hash: hash(row, 6)?,
    })
}

/// Events of a shard after a position, in order.
///
/// # Errors
/// [`DatabaseError`]
pub async fn events_after(
    database: &Database,
    (shard, position): (u16, u64),
    limit: u32,
) -> Result<Vec<StoredEvent>, DatabaseError> {
    let sql = format!("{EVENT} WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3");
    let query = sqlx::query(&sql).bind(i64::from(shard));
    let query = query.bind(i64::try_from(position).unwrap_or(i64::MAX)).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(stored).collect()
}

/// The events of an order, in order.
///
/// # Errors
/// [`DatabaseError`]
pub async fn events_of(
    database: &Database,
    order: OrderId,
) -> Result<Vec<StoredEvent>, DatabaseError> {
    let sql = format!("{EVENT} WHERE order_id = $1 ORDER BY version");
    let rows = sqlx::query(&sql).bind(order.to_string()).fetch_all(database.reader()).await?;
    rows.iter().map(stored).collect()
}

/// When the newest event was written, if there is one.
///
/// # Errors
/// [`DatabaseError`]
pub async fn newest(database: &Database) -> Result<Option<Timestamp>, DatabaseError> {
    let sql = "SELECT payment_events.at FROM event_heads JOIN payment_events
               ON payment_events.shard = event_heads.shard
                  AND payment_events.position = event_heads.position";
    let rows = sqlx::query(sql).fetch_all(database.reader()).await?;
    let at = rows.iter().map(|row| instant(row, 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(at.into_iter().max())
}

/// Where each shard ends, with the hash there.
///
/// # Errors
/// [`DatabaseError`]
pub async fn event_heads(database: &Database) -> Result<Vec<(u16, u64, Hash)>, DatabaseError> {
    let sql = "SELECT shard, position, hash FROM event_heads ORDER BY shard";
    let rows = sqlx::query(sql).fetch_all(database.reader()).await?;
    let head =
        |row: &AnyRow| Ok((number(row, 0, "shard")?, number(row, 1, "head")?, hash(row, 2)?));
    rows.iter().map(head).collect()
}
