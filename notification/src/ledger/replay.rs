use std::collections::BTreeMap;

use serde::Serialize;
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use uuid::Uuid;

use super::json;
use crate::compose::notification_id;
use crate::{Route, Webhook};

/// Calls that one page of a replay looks at.
const PAGE: i64 = 500;
/// Messages that one page of a replay passes over at most: meanwhile no other is composed.
const SCANNED: i64 = 20_000;

/// Which facts are posted again, and to which endpoint.
pub struct Replay<'a> {
    /// The endpoint.
    pub webhook: &'a Webhook,
    /// Names the replay: within it no fact is posted twice.
    pub id: Uuid,
    /// Messages composed at this time or later.
    pub since: Timestamp,
    /// Messages composed before this time.
    pub until: Timestamp,
    /// Only facts after these positions, by shard, and of no other shard; all where it is empty.
    pub after: BTreeMap<u16, u64>,
    /// The caller who asks for it.
    pub by: &'a str,
}

/// What a page of a replay came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many calls were queued.
    pub queued: u32,
    /// The serial after which the next page begins; none at the end.
    pub next: Option<i64>,
}

impl Replay<'_> {
    /// The condition on the place of a fact.
    fn places(&self) -> String {
        let places = self.after.iter().map(|(shard, position)| {
            let position = i64::try_from(*position).unwrap_or(i64::MAX);
            format!("(shard = {shard} AND position > {position})")
        });
        let places = places.collect::<Vec<_>>().join(" OR ");
        if places.is_empty() { "1 = 1".to_owned() } else { format!("({places})") }
    }
}

/// A call to be queued, as the database reads it; `nth` counts from 1.
#[derive(Serialize)]
struct Row {
    id: Uuid,
    nth: i64,
    /// The message that is repeated.
    of_id: String,
    /// The endpoint's own message about the fact, if it has one.
    own: Uuid,
}

/// Keeps what a replay was asked for, at its first page. Returns when that was, or none where the
/// id was used for something else.
///
/// # Errors
/// [`DatabaseError`]
pub async fn begin_replay(
    tx: &mut Tx,
    id: Uuid,
    asked: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, DatabaseError> {
    sqlx::query(
        "INSERT INTO replays (replay_id, asked, at) VALUES ($1, $2, $3)
         ON CONFLICT (replay_id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(asked)
    .bind(now.micros())
    .execute(&mut **tx)
    .await?;
    let (known, at): (String, i64) =
        sqlx::query_as("SELECT asked, at FROM replays WHERE replay_id = $1")
            .bind(id.to_string())
            .fetch_one(&mut **tx)
            .await?;
    Ok((known == asked).then(|| Timestamp::from_micros(at)))
}

/// Queues calls about the facts of webhook messages after a serial: those that the endpoint wants,
/// of the present history. One whose own message is not finished is left out.
///
/// # Errors
/// [`DatabaseError`]
pub async fn replay(
    database: &Database,
    tx: &mut Tx,
    replay: &Replay<'_>,
    after: i64,
    now: Timestamp,
) -> Result<Replayed, DatabaseError> {
    if database.dialect() == Dialect::Postgres {
        // The next serials are computed from the rows, so no other writer may add any meanwhile.
        sqlx::query("LOCK TABLE notifications IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await?;
    }
    let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(serial), 0) FROM notifications")
        .fetch_one(&mut **tx)
        .await?;
    let end = after.saturating_add(SCANNED);
    let sql = format!(
        "SELECT serial, notification_id, fact_id, subject FROM notifications
         WHERE serial > $1 AND serial <= $5 AND (channel = 'WEBHOOK' OR channel LIKE 'WEBHOOK:%')
             AND resend_of IS NULL AND gone = 0 AND created_at >= $2 AND created_at < $3 AND {}
         ORDER BY serial LIMIT $4",
        replay.places()
    );
    let found: Vec<(i64, String, String, String)> = sqlx::query_as(&sql)
        .bind(after)
        .bind(replay.since.micros())
        .bind(replay.until.micros())
        .bind(PAGE)
        .bind(end)
        .fetch_all(&mut **tx)
        .await?;
    let full = i64::try_from(found.len()).is_ok_and(|count| count == PAGE);
    let next = match found.last() {
        Some((serial, ..)) if full => Some(*serial),
        _ => (end < last).then_some(end),
    };
    let route = Route::webhook(&replay.webhook.name);
    let wanted = found.into_iter().filter(|(.., kind)| replay.webhook.wants(kind));
    let rows = (1_i64..).zip(wanted).map(|(nth, (_, of_id, fact_id, _))| {
        let fact_id = Uuid::parse_str(&fact_id).map_err(|_| DatabaseError::Corrupt("fact id"))?;
        let own = notification_id(fact_id, &route).uuid();
        Ok(Row { id: Uuid::new_v5(&replay.id, own.as_bytes()), nth, of_id, own })
    });
    let rows = rows.collect::<Result<Vec<_>, DatabaseError>>()?;
    let queued = queue(database, tx, replay, &rows, &route.code(), now).await?;
    Ok(Replayed { queued, next })
}

/// Inserts the calls that are not there yet, and makes them due.
async fn queue(
    database: &Database,
    tx: &mut Tx,
    replay: &Replay<'_>,
    rows: &[Row],
    route: &str,
    now: Timestamp,
) -> Result<u32, DatabaseError> {
    let (row, id, nth, of_id, own) = match database.dialect() {
        Dialect::Postgres => (
            "json_to_recordset($1::json) AS row(id TEXT, nth BIGINT, of_id TEXT, own TEXT)",
            "row.id",
            "row.nth",
            "row.of_id",
            "row.own",
        ),
        Dialect::Sqlite => (
            "json_each($1) AS row",
            "row.value ->> 'id'",
            "(row.value ->> 'nth')",
            "row.value ->> 'of_id'",
            "row.value ->> 'own'",
        ),
    };
    let sql = format!(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at,
             next_try_at, shard, position, gone, resend_of, asked_by)
         SELECT {id}, (SELECT MAX(serial) FROM notifications) + {nth}, n.fact_id, $2, n.order_id,
             n.kind, $3, n.subject, n.body, 'QUEUED', 0, '', $4, $4, $4, n.shard, n.position, 0,
             n.notification_id, $5
         FROM {row} JOIN notifications n ON n.notification_id = {of_id}
         WHERE NOT EXISTS (SELECT 1 FROM notifications own WHERE own.notification_id = {own}
             AND own.state NOT IN ('DELIVERED', 'FAILED'))
         ON CONFLICT (notification_id) DO NOTHING RETURNING serial"
    );
    let serials: Vec<i64> = sqlx::query_scalar(&sql)
        .bind(json(rows)?)
        .bind(route)
        .bind(&replay.webhook.url)
        .bind(now.micros())
        .bind(replay.by)
        .fetch_all(&mut **tx)
        .await?;
    let sql = format!(
        "INSERT INTO due (serial, at, channel)
         SELECT serial, next_try_at, channel FROM notifications WHERE serial {}",
        database.one_of_numbers(),
    );
    sqlx::query(&sql).bind(json(&serials)?).execute(&mut **tx).await?;
    Ok(u32::try_from(serials.len()).unwrap_or(u32::MAX))
}
