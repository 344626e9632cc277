use std::collections::HashSet;

use shared_events::contract::{FactBody, FactId, NotificationFact, Origin, Timestamp};
use shared_events::stream::{Database, DatabaseError, NewFact, Outbox};

use super::traces::read_traces;
use super::tries::with_one_more;
use super::{COLUMNS, Entry, GONE, entry, ids, json, lock_due, remove_due, reported, set_due};
use crate::Route;

/// Claims due messages of a route, oldest first, until `until`. Those without a report by then
/// are due again, because their process died; those whose history is gone fail instead.
///
/// # Errors
/// [`DatabaseError`]
pub async fn claim(
    database: &Database,
    route: impl Into<Route>,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Entry>, DatabaseError> {
    let mut tx = database.begin().await?;
    // Concurrent claims take different rows. An array makes the subquery run once: with
    // `IN (SELECT …)`, a plan made for an empty table runs it per row and claims all of them. The
    // index of Postgres has `serial + 0`, so that no plan looks for serials in it.
    let sql = database.sql(
        "UPDATE due SET at = $1 WHERE serial = ANY (ARRAY(
             SELECT serial FROM due WHERE channel = $4 AND at <= $2
             ORDER BY channel, at, serial + 0 LIMIT $3 FOR UPDATE SKIP LOCKED))
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
        .bind(route.into().code())
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
        database.one_of_numbers_in("$2"),
    );
    let rows =
        sqlx::query(&sql).bind(until.micros()).bind(json(&taken)?).fetch_all(&mut *tx).await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let (mut entries, given_up): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.state.is_open());
    read_traces(database, &mut tx, &mut entries).await?;
    let given_up: Vec<i64> = given_up.iter().map(|entry| entry.serial).collect();
    remove_due(database, &mut tx, &given_up).await?;
    tx.commit().await?;
    entries.sort_by_key(|entry| entry.serial);
    Ok(entries)
}

/// Records delivered messages, and publishes their facts in the same transaction.
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
    lock_due(database, &mut tx, &serials).await?;
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
    remove_due(database, &mut tx, &serials).await?;
    let published = entries.iter().filter(|entry| changed.contains(&entry.id.to_string()));
    outbox.write(&mut tx, published.map(sent).collect(), now).await?;
    tx.commit().await?;
    outbox.committed();
    Ok(())
}

/// The fact that a message was sent.
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
        traceparent: entry.traceparent.clone(),
        tracestate: entry.tracestate.clone(),
        body: FactBody::Notification(sent),
    }
}

/// Records a try that failed at `tried_at`: the next is due at `next_try_at`. Without that, or where
/// the message's history is gone, the message has failed.
///
/// # Errors
/// [`DatabaseError`]
pub async fn failed(
    database: &Database,
    entry: &Entry,
    error: &str,
    tried_at: Timestamp,
    next_try_at: Option<Timestamp>,
) -> Result<(), DatabaseError> {
    let Some(at) = next_try_at else {
        let sql = format!(
            "UPDATE notifications SET state = 'FAILED', last_error = $1, tries = {}
             WHERE {} AND state = 'SENDING' RETURNING serial",
            database.sql("$4::json ->> notification_id", "$4 ->> notification_id"),
            reported(database),
        );
        let mut tx = database.begin().await?;
        lock_due(database, &mut tx, &[entry.serial]).await?;
        let changed: Vec<i64> = sqlx::query_scalar(&sql)
            .bind(error)
            .bind(json(&[entry.serial])?)
            .bind(json(&[entry.id])?)
            .bind(with_one_more(&[entry], error, Some(tried_at))?)
            .fetch_all(&mut *tx)
            .await?;
        remove_due(database, &mut tx, &changed).await?;
        return Ok(tx.commit().await?);
    };
    let outcome = Outcome { tried_at: Some(tried_at), attempts_taken_back: 0, in_doubt: 0 };
    try_again(database, &[entry], error, at, outcome).await
}

/// Records a try that ended at `tried_at` with an unknown outcome: the next is due at `next_try_at`,
/// unless the message's history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn in_doubt(
    database: &Database,
    entry: &Entry,
    error: &str,
    tried_at: Timestamp,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let outcome = Outcome { tried_at: Some(tried_at), attempts_taken_back: 0, in_doubt: 1 };
    try_again(database, &[entry], error, next_try_at, outcome).await
}

/// Records that the server was unavailable at `tried_at`, or, without that, that sending never
/// began: the next try is due at `next_try_at` and this one does not count. Messages whose history is
/// gone fail.
///
/// # Errors
/// [`DatabaseError`]
pub async fn unavailable(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    tried_at: Option<Timestamp>,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let outcome = Outcome { tried_at, attempts_taken_back: 1, in_doubt: 0 };
    try_again(database, entries, error, next_try_at, outcome).await
}

/// Fails messages of routes that are not among `known`, where they were asked for before
/// `asked_before`: their endpoint is not configured any more. Returns how many.
///
/// # Errors
/// [`DatabaseError`]
pub async fn fail_unrouted(
    database: &Database,
    known: impl IntoIterator<Item = &Route>,
    asked_before: Timestamp,
    now: Timestamp,
) -> Result<usize, DatabaseError> {
    let known: HashSet<String> = known.into_iter().map(Route::code).collect();
    let routes: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT channel FROM due").fetch_all(database.reader()).await?;
    let mut failed = 0;
    for route in routes.into_iter().filter(|route| !known.contains(route)) {
        let mut tx = database.begin().await?;
        let due: Vec<i64> = sqlx::query_scalar("SELECT serial FROM due WHERE channel = $1")
            .bind(&route)
            .fetch_all(&mut *tx)
            .await?;
        lock_due(database, &mut tx, &due).await?;
        let changed: Vec<i64> = sqlx::query_scalar(
            "UPDATE notifications SET state = 'FAILED', last_error = 'webhook: not configured'
             WHERE channel = $1 AND asked_at < $2
                 AND (state IN ('QUEUED', 'RETRY_AT') OR (state = 'SENDING' AND next_try_at <= $3))
                 AND serial IN (SELECT serial FROM due WHERE channel = $1)
             RETURNING serial",
        )
        .bind(&route)
        .bind(asked_before.micros())
        .bind(now.micros())
        .fetch_all(&mut *tx)
        .await?;
        remove_due(database, &mut tx, &changed).await?;
        tx.commit().await?;
        failed += changed.len();
    }
    Ok(failed)
}

/// What became of a failed try.
struct Outcome {
    /// None where nothing was tried.
    tried_at: Option<Timestamp>,
    attempts_taken_back: i64,
    in_doubt: i64,
}

/// Schedules another try of each message whose history is not gone.
async fn try_again(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    at: Timestamp,
    outcome: Outcome,
) -> Result<(), DatabaseError> {
    let serials: Vec<i64> = entries.iter().map(|entry| entry.serial).collect();
    let mut tx = database.begin().await?;
    lock_due(database, &mut tx, &serials).await?;
    let sql = format!(
        "UPDATE notifications
         SET state = CASE WHEN gone = 1 THEN 'FAILED' ELSE 'RETRY_AT' END,
             last_error = CASE WHEN gone = 1 THEN '{GONE}' || $1 ELSE $1 END,
             next_try_at = $4, attempts = attempts - $5, in_doubt = in_doubt + $6,
             tries = COALESCE({}, tries)
         WHERE {} AND state = 'SENDING' RETURNING serial, gone",
        database.sql("$7::json ->> notification_id", "$7 ->> notification_id"),
        reported(database),
    );
    let changed: Vec<(i64, i64)> = sqlx::query_as(&sql)
        .bind(error)
        .bind(json(&serials)?)
        .bind(json(&ids(entries.iter().copied()))?)
        .bind(at.micros())
        .bind(outcome.attempts_taken_back)
        .bind(outcome.in_doubt)
        .bind(with_one_more(entries, error, outcome.tried_at)?)
        .fetch_all(&mut *tx)
        .await?;
    let (given_up, again): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, gone)| *gone == 1);
    for (serial, _) in again {
        set_due(&mut tx, serial, at).await?;
    }
    let given_up: Vec<i64> = given_up.into_iter().map(|(serial, _)| serial).collect();
    remove_due(database, &mut tx, &given_up).await?;
    Ok(tx.commit().await?)
}
