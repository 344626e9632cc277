use shared_events::contract::{NotificationId, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};

use super::contacts::recipient_now;
use super::{Entry, get, set_due};

/// The outcome of a resend request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// A new message with the same text is queued.
    Queued(Box<Entry>),
    /// The message, or an earlier resend of it, has not finished.
    NotFinished,
    /// There is no such message.
    NotFound,
    /// The customer is not reached by its channel any more.
    NoRecipient,
}

/// Queues a copy of a finished message under the id `again`; the first message stays as it is. It goes
/// to the order's contact as corrected since, if it was. `by` is the caller who asks for it.
///
/// # Errors
/// [`DatabaseError`]
pub async fn resend(
    database: &Database,
    tx: &mut Tx,
    id: NotificationId,
    again: NotificationId,
    by: &str,
    now: Timestamp,
) -> Result<Resent, DatabaseError> {
    if database.dialect() == Dialect::Postgres {
        // The next serial is computed from the rows, so no other writer may add one meanwhile.
        sqlx::query("LOCK TABLE notifications IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await?;
    }
    let Some(entry) = get(&mut **tx, id).await? else { return Ok(Resent::NotFound) };
    // A resend of a resend refers to the first message.
    let first = entry.resend_of.unwrap_or(entry.id);
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT serial FROM notifications
         WHERE order_id = $1 AND (notification_id = $2 OR resend_of = $2) AND channel = $3
             AND state NOT IN ('DELIVERED', 'FAILED') LIMIT 1",
    )
    .bind(entry.order_id.to_string())
    .bind(first.to_string())
    .bind(entry.route.code())
    .fetch_optional(&mut **tx)
    .await?;
    if open.is_some() {
        return Ok(Resent::NotFinished);
    }
    let Some(recipient) = recipient_now(tx, &entry).await? else {
        return Ok(Resent::NoRecipient);
    };
    let serial: i64 = sqlx::query_scalar(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at,
             next_try_at, shard, position, gone, resend_of, asked_by)
         SELECT $1, (SELECT MAX(serial) FROM notifications) + 1, fact_id, channel, order_id, kind,
             $6, subject, body, 'QUEUED', 0, '', $2, $2,
             $2, shard, position, gone, $3, $4
         FROM notifications WHERE notification_id = $5 RETURNING serial",
    )
    .bind(again.to_string())
    .bind(now.micros())
    .bind(first.to_string())
    .bind(by)
    .bind(id.to_string())
    .bind(recipient)
    .fetch_one(&mut **tx)
    .await?;
    set_due(tx, serial, now).await?;
    let entry = get(&mut **tx, again).await?.ok_or(DatabaseError::Corrupt("message"))?;
    Ok(Resent::Queued(Box::new(entry)))
}
