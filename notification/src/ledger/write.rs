use serde::Serialize;
use shared_events::contract::{FactId, NotificationId, OrderId, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};

use super::contacts::forget_contacts;
use super::{State, json};
use crate::Message;

/// A message as the database reads it; `nth` counts from 1 in its batch.
#[derive(Serialize)]
struct MessageRow<'a> {
    notification_id: NotificationId,
    nth: i64,
    fact_id: FactId,
    channel: String,
    order_id: OrderId,
    kind: &'a str,
    recipient: &'a str,
    subject: &'a str,
    body: &'a str,
    shard: u16,
    position: u64,
}

/// A message that is due, as the database reads it.
#[derive(Serialize)]
struct DueRow<'a> {
    serial: i64,
    channel: &'a str,
}

/// Inserts messages. One that exists stays as it is, except where it was marked as gone: its fact
/// is back after all, and if it had failed meanwhile it is due again.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write(
    database: &Database,
    tx: &mut Tx,
    messages: &[Message],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    if messages.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = (1_i64..).zip(messages).map(row).collect();
    let sql = insert_sql(database);
    let written: Vec<(i64, String, String)> =
        sqlx::query_as(&sql).bind(json(&rows)?).bind(now.micros()).fetch_all(&mut **tx).await?;
    let queued = written.iter().filter(|(_, state, _)| state == State::Queued.code());
    let queued: Vec<_> =
        queued.map(|(serial, _, channel)| DueRow { serial: *serial, channel }).collect();
    if queued.is_empty() {
        return Ok(());
    }
    let given = database.sql(
        "SELECT serial, $1, channel
         FROM json_to_recordset($2::json) AS row(serial BIGINT, channel TEXT)",
        "SELECT value ->> 'serial', $1, value ->> 'channel' FROM json_each($2) WHERE true",
    );
    // One that is due already stays as it is, and whoever holds it is not waited for.
    let due =
        format!("INSERT INTO due (serial, at, channel) {given} ON CONFLICT (serial) DO NOTHING");
    sqlx::query(&due).bind(now.micros()).bind(json(&queued)?).execute(&mut **tx).await?;
    Ok(())
}

fn row((nth, message): (i64, &Message)) -> MessageRow<'_> {
    MessageRow {
        notification_id: message.id,
        nth,
        fact_id: message.fact_id,
        channel: message.route.code(),
        order_id: message.order_id,
        kind: message.kind,
        recipient: &message.recipient,
        subject: &message.subject,
        body: &message.body,
        shard: message.place.0,
        position: message.place.1,
    }
}

/// Inserts messages by rows of JSON ($1) at a time ($2); returns those that must be queued still.
fn insert_sql(database: &Database) -> String {
    let again = "ON CONFLICT (notification_id) DO UPDATE
             SET gone = 0, state = CASE WHEN notifications.state = 'FAILED' THEN 'QUEUED'
                                        ELSE notifications.state END,
                 attempts = CASE WHEN notifications.state = 'FAILED' THEN 0
                                 ELSE notifications.attempts END,
                 in_doubt = CASE WHEN notifications.state = 'FAILED' THEN 0
                                 ELSE notifications.in_doubt END,
                 asked_at = CASE WHEN notifications.state = 'FAILED' THEN $2
                                 ELSE notifications.asked_at END,
                 next_try_at = CASE WHEN notifications.state = 'FAILED' THEN $2
                                    ELSE notifications.next_try_at END
             WHERE notifications.gone = 1
         RETURNING serial, state, channel";
    let rows_given = database.sql(
        "SELECT notification_id, (SELECT COALESCE(MAX(serial), 0) FROM notifications) + nth,
                fact_id, channel, order_id, kind, recipient, subject,
                body, 'QUEUED', 0, '', $2, $2, $2, shard, position
         FROM json_to_recordset($1::json)
             AS row(notification_id TEXT, nth BIGINT, fact_id TEXT, channel TEXT, order_id TEXT,
                    kind TEXT, recipient TEXT, subject TEXT, body TEXT, shard BIGINT, position BIGINT)",
        "SELECT value ->> 'notification_id',
                (SELECT COALESCE(MAX(serial), 0) FROM notifications) + (value ->> 'nth'),
                value ->> 'fact_id',
                value ->> 'channel', value ->> 'order_id', value ->> 'kind',
                value ->> 'recipient', value ->> 'subject', value ->> 'body',
                'QUEUED', 0, '', $2, $2, $2, value ->> 'shard', value ->> 'position'
         FROM json_each($1) WHERE true",
    );
    let insert = format!(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at, next_try_at,
             shard, position) {rows_given} {again}"
    );
    // Postgres queues the new ones in the same statement. Of a row that ON CONFLICT found it
    // returns the lock that it took; of a new one, none.
    match database.dialect() {
        Dialect::Postgres => format!(
            "WITH written AS ({insert}, xmax = 0 AS is_new),
                  queued AS (INSERT INTO due (serial, at, channel)
                             SELECT serial, $2, channel FROM written
                             WHERE is_new AND state = 'QUEUED')
             SELECT serial, state, channel FROM written WHERE NOT is_new"
        ),
        Dialect::Sqlite => insert,
    }
}

/// Drops unsent messages about facts after a position of a shard, because the journal was set back
/// to it, and forgets what was corrected after it. Messages that were sent, or are being sent and may
/// be delivered, stay and are marked as gone. Returns how many were dropped.
///
/// # Errors
/// [`DatabaseError`]
pub async fn drop_unsent(
    database: &Database,
    tx: &mut Tx,
    shard: u16,
    position: u64,
) -> Result<u64, DatabaseError> {
    let shard = i64::from(shard);
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let behind = "SELECT serial FROM notifications WHERE shard = $1 AND position > $2";
    if database.dialect() == Dialect::Postgres {
        // As `hold`: only then it is known which of them are being sent.
        let sql =
            format!("SELECT serial FROM due WHERE serial IN ({behind}) ORDER BY serial FOR UPDATE");
        sqlx::query(&sql).bind(shard).bind(position).execute(&mut **tx).await?;
    }
    let sql = format!(
        "DELETE FROM due WHERE serial IN ({behind} AND state <> 'SENDING') RETURNING serial"
    );
    let dropped: Vec<i64> =
        sqlx::query_scalar(&sql).bind(shard).bind(position).fetch_all(&mut **tx).await?;
    let sql = format!("DELETE FROM notifications WHERE serial {}", database.one_of_numbers());
    sqlx::query(&sql).bind(json(&dropped)?).execute(&mut **tx).await?;
    sqlx::query("UPDATE notifications SET gone = 1 WHERE shard = $1 AND position > $2")
        .bind(shard)
        .bind(position)
        .execute(&mut **tx)
        .await?;
    forget_contacts(tx, shard, position).await?;
    Ok(u64::try_from(dropped.len()).unwrap_or(u64::MAX))
}
