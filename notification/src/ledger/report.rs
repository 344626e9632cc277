use std::collections::HashSet;

use shared_events::contract::{FactBody, FactId, NotificationFact, Origin, Timestamp};
use shared_events::stream::{Database, DatabaseError, NewFact, Outbox};

use super::{COLUMNS, Entry, GONE, due_again, entry, finished, hold, ids, json, reported};
use crate::Channel;

/// Takes messages that are due by a channel, oldest first, and marks them as being sent until
/// `until`; if nobody reports by then, the process died and they are due again, unless their history
/// is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn claim(
    database: &Database,
    channel: Channel,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Entry>, DatabaseError> {
    let mut tx = database.begin().await?;
    // Whoever else claims takes the next ones. An array, so that they are looked for once: asked for
    // by `IN (SELECT …)`, a plan for an empty table looks again for each row, and takes them all.
    let sql = database.sql(
        "UPDATE due SET at = $1 WHERE serial = ANY (ARRAY(
             SELECT serial FROM due WHERE channel = $4 AND at <= $2
             ORDER BY channel, at, serial LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING serial",
        "UPDATE due SET at = $1 WHERE serial IN (
             SELECT serial FROM due WHERE channel = $4 AND at <= $2
             ORDER BY channel, at, serial LIMIT $3)
         RETURNING serial",
    );
    let taken: Vec<i64> = sqlx::query_scalar(sql)
        .bind(until.micros())
        .bind(now.micros())
        .bind(i64::from(limit))
        .bind(channel.code())
        .fetch_all(&mut *tx)
        .await?;
    if taken.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    let sql = format!(
        "UPDATE notifications
         SET state = CASE WHEN gone = 1 AND state = 'SENDING' THEN 'FAILED' ELSE 'SENDING' END,
             last_error = CASE WHEN gone = 1 AND state = 'SENDING' THEN '{GONE}no answer'
                               ELSE last_error END,
             attempts = CASE WHEN gone = 1 AND state = 'SENDING' THEN attempts
                             ELSE attempts + 1 END,
             next_try_at = $1
         WHERE serial {} RETURNING {COLUMNS}",
        database.sql(
            "= ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::json) AS taken(value)))",
            "IN (SELECT value FROM json_each($2))",
        ),
    );
    let rows =
        sqlx::query(&sql).bind(until.micros()).bind(json(&taken)?).fetch_all(&mut *tx).await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let (mut entries, given_up): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.state.is_open());
    let given_up: Vec<i64> = given_up.iter().map(|entry| entry.serial).collect();
    finished(database, &mut tx, &given_up).await?;
    tx.commit().await?;
    entries.sort_by_key(|entry| entry.serial);
    Ok(entries)
}

/// The channels took these. Tells others in the same transaction.
///
/// # Errors
/// [`DatabaseError`]
pub async fn delivered(
    database: &Database,
    outbox: &Outbox,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let serials: Vec<i64> = entries.iter().map(|entry| entry.serial).collect();
    let mut tx = database.begin().await?;
    hold(database, &mut tx, &serials).await?;
    let sql = format!(
        "UPDATE notifications SET state = 'DELIVERED', delivered_at = $1, last_error = ''
         WHERE {} AND state = 'SENDING' RETURNING serial, notification_id",
        reported(database),
    );
    let changed: Vec<(i64, String)> = sqlx::query_as(&sql)
        .bind(now.micros())
        .bind(json(&serials)?)
        .bind(json(&ids(entries))?)
        .fetch_all(&mut *tx)
        .await?;
    let (serials, changed): (Vec<i64>, HashSet<String>) = changed.into_iter().unzip();
    finished(database, &mut tx, &serials).await?;
    let told = entries.iter().filter(|entry| changed.contains(&entry.id.to_string()));
    outbox.write(&mut tx, told.map(sent).collect(), now).await?;
    tx.commit().await?;
    outbox.committed();
    Ok(())
}

/// What is told of a message that left.
fn sent(entry: &Entry) -> NewFact {
    let sent = NotificationFact::Sent {
        order_id: entry.order_id,
        notification_id: entry.id,
        channel: entry.channel.code().to_owned(),
    };
    NewFact {
        id: FactId::once(Origin::Notifications, entry.id.uuid(), sent.kind()),
        shard: entry.shard,
        sequence: None,
        causationid: Some(entry.fact_id.clone()),
        traceparent: None,
        body: FactBody::Notification(sent),
    }
}

/// A try failed: another is due at `next_try_at`, or none ever where that is absent or the message's
/// history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn failed(
    database: &Database,
    entry: &Entry,
    error: &str,
    next_try_at: Option<Timestamp>,
) -> Result<(), DatabaseError> {
    let Some(at) = next_try_at else {
        let sql = format!(
            "UPDATE notifications SET state = 'FAILED', last_error = $1
             WHERE {} AND state = 'SENDING' RETURNING serial",
            reported(database),
        );
        let mut tx = database.begin().await?;
        hold(database, &mut tx, &[entry.serial]).await?;
        let changed: Vec<i64> = sqlx::query_scalar(&sql)
            .bind(error)
            .bind(json(&[entry.serial])?)
            .bind(json(&[entry.id])?)
            .fetch_all(&mut *tx)
            .await?;
        finished(database, &mut tx, &changed).await?;
        return Ok(tx.commit().await?);
    };
    try_again(database, &[entry], error, at, Count { tries_taken_back: 0, in_doubt: 0 }).await
}

/// A try ended without a word, so that it may have been taken: another is due at `next_try_at`. None
/// where its history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn in_doubt(
    database: &Database,
    entry: &Entry,
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let count = Count { tries_taken_back: 0, in_doubt: 1 };
    try_again(database, &[entry], error, next_try_at, count).await
}

/// Nobody was there to take them, or it was not their turn: another try is due at `next_try_at`, and
/// this one does not count. None where their history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn away(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let count = Count { tries_taken_back: 1, in_doubt: 0 };
    try_again(database, entries, error, next_try_at, count).await
}

/// What a try that has failed comes to.
struct Count {
    tries_taken_back: i64,
    in_doubt: i64,
}

/// Another try of each whose history is not gone.
async fn try_again(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    at: Timestamp,
    count: Count,
) -> Result<(), DatabaseError> {
    let serials: Vec<i64> = entries.iter().map(|entry| entry.serial).collect();
    let mut tx = database.begin().await?;
    hold(database, &mut tx, &serials).await?;
    let sql = format!(
        "UPDATE notifications
         SET state = CASE WHEN gone = 1 THEN 'FAILED' ELSE 'RETRY_AT' END,
             last_error = CASE WHEN gone = 1 THEN '{GONE}' || $1 ELSE $1 END,
             next_try_at = $4, attempts = attempts - $5, in_doubt = in_doubt + $6
         WHERE {} AND state = 'SENDING' RETURNING serial, gone",
        reported(database),
    );
    let changed: Vec<(i64, i64)> = sqlx::query_as(&sql)
        .bind(error)
        .bind(json(&serials)?)
        .bind(json(&ids(entries.iter().copied()))?)
        .bind(at.micros())
        .bind(count.tries_taken_back)
        .bind(count.in_doubt)
        .fetch_all(&mut *tx)
        .await?;
    let (given_up, again): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, gone)| *gone == 1);
    for (serial, _) in again {
        due_again(&mut tx, serial, at).await?;
    }
    let given_up: Vec<i64> = given_up.into_iter().map(|(serial, _)| serial).collect();
    finished(database, &mut tx, &given_up).await?;
    Ok(tx.commit().await?)
}
