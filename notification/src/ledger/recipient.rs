use shared_events::stream::{DatabaseError, Tx};

use super::Entry;
use crate::Channel;

/// To whom a message is sent when it is sent again: the newest known contact of the customer, which
/// is that of the newest message about the order by the same channel. Facts carry the contact that
/// the order had at the time. Operators and webhook endpoints stay as they are.
///
/// # Errors
/// [`DatabaseError`]
pub(super) async fn newest(tx: &mut Tx, entry: &Entry) -> Result<String, DatabaseError> {
    if entry.channel == Channel::Webhook || entry.kind == TO_OPERATORS {
        return Ok(entry.recipient.clone());
    }
    let newest: Option<String> = sqlx::query_scalar(
        "SELECT recipient FROM notifications
         WHERE order_id = $1 AND channel = $2 AND kind <> $3 AND resend_of IS NULL AND gone = 0
         ORDER BY serial DESC LIMIT 1",
    )
    .bind(entry.order_id.to_string())
    .bind(entry.route.code())
    .bind(TO_OPERATORS)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(newest.unwrap_or_else(|| entry.recipient.clone()))
}

/// The kind of messages that customers do not get.
const TO_OPERATORS: &str = crate::Kind::ReturnOverdue.code();
