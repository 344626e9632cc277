use shared_events::contract::{NotificationId, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};

use super::{Entry, due_again, get};

/// What became of the wish to have a message sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// There is another one, which says the same.
    Again(Box<Entry>),
    /// It is still on its way, or another that says it again.
    NotFinished,
    /// There is no such message.
    NotFound,
}

/// Has what a finished message says sent again, by a message of its own with this id: what became of
/// the first one stays as it is. `by` is who asks for it.
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
        // Serials are given by what is there: nobody writes another message meanwhile.
        sqlx::query("LOCK TABLE notifications IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await?;
    }
    let Some(entry) = get(tx, id).await? else { return Ok(Resent::NotFound) };
    // What is said a third time says the first again, and not the second.
    let first = entry.resend_of.unwrap_or(entry.id);
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT serial FROM notifications
         WHERE order_id = $1 AND (notification_id = $2 OR resend_of = $2)
             AND state NOT IN ('DELIVERED', 'FAILED') LIMIT 1",
    )
    .bind(entry.order_id.to_string())
    .bind(first.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    if open.is_some() {
        return Ok(Resent::NotFinished);
    }
    let serial: i64 = sqlx::query_scalar(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at,
             next_try_at, shard, position, gone, resend_of, asked_by)
         SELECT $1, (SELECT MAX(serial) FROM notifications) + 1, fact_id, channel, order_id, kind,
             recipient, subject, body, 'QUEUED', 0, '', $2, $2,
             $2, shard, position, gone, $3, $4
         FROM notifications WHERE notification_id = $5 RETURNING serial",
    )
    .bind(again.to_string())
    .bind(now.micros())
    .bind(first.to_string())
    .bind(by)
    .bind(id.to_string())
    .fetch_one(&mut **tx)
    .await?;
    due_again(tx, serial, now).await?;
    let entry = get(tx, again).await?.ok_or(DatabaseError::Corrupt("message"))?;
    Ok(Resent::Again(Box::new(entry)))
}
