use std::collections::HashMap;

use shared_events::contract::{Fact, FactBody, OrderFact, OrderHeader, OrderId};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::{Any, Executor, Row as _};

use super::Entry;
use crate::{Channel, Kind};

/// How a customer is reached since the order was corrected. Personal data; prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CorrectedContact {
    /// E-mail address; empty for none.
    pub email: String,
    /// Phone number; empty for none.
    pub phone: String,
}

impl std::fmt::Debug for CorrectedContact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CorrectedContact(..)")
    }
}

impl CorrectedContact {
    /// The recipient by a channel; none where the customer is not reached by it.
    #[must_use]
    pub fn recipient(&self, channel: Channel) -> Option<&str> {
        let recipient = match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.phone,
            Channel::Webhook => return None,
        };
        Some(recipient.as_str()).filter(|recipient| !recipient.is_empty())
    }
}

/// Records the contacts of corrected orders.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write_contacts(
    database: &Database,
    tx: &mut Tx,
    facts: &[Fact],
) -> Result<(), DatabaseError> {
    for fact in facts {
        let FactBody::Order(OrderFact::Corrected { order, .. }) = &fact.body else { continue };
        let position =
            i64::try_from(fact.position).map_err(|_| DatabaseError::Corrupt("position"))?;
        sqlx::query(
            "INSERT INTO corrected_contacts (order_id, shard, position, email, phone)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (order_id, position) DO NOTHING",
        )
        .bind(order.order_id.to_string())
        .bind(i64::from(fact.shard))
        .bind(position)
        .bind(order.contact.email.clone().unwrap_or_default())
        .bind(order.contact.phone.clone().unwrap_or_default())
        .execute(&mut **tx)
        .await?;
        redirect(database, tx, order).await?;
    }
    Ok(())
}

/// Messages of the order that wait to be sent, or to be tried again, go to the contact from now on.
/// Where the customer is not reached by their channel any more, they stay as they are.
async fn redirect(
    database: &Database,
    tx: &mut Tx,
    order: &OrderHeader,
) -> Result<(), DatabaseError> {
    let (contact, order_id) = (&order.contact, order.order_id.to_string());
    if database.dialect() == Dialect::Postgres {
        // As whoever sends them: only then it is known which of them wait.
        let sql = "SELECT serial FROM due WHERE serial IN (
                       SELECT serial FROM notifications WHERE order_id = $1)
                   ORDER BY serial FOR UPDATE";
        sqlx::query(sql).bind(&order_id).execute(&mut **tx).await?;
    }
    // Reminders of operators are not the customer's.
    let sql = format!(
        "UPDATE notifications SET recipient = $1
         WHERE order_id = $2 AND channel = $3 AND state IN ('QUEUED', 'RETRY_AT'){}",
        Kind::not_for_operators()
    );
    for (channel, recipient) in [(Channel::Email, &contact.email), (Channel::Sms, &contact.phone)] {
        let Some(recipient) = recipient else { continue };
        sqlx::query(&sql)
            .bind(recipient.as_str())
            .bind(&order_id)
            .bind(channel.code())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The contact of an order, where it was corrected.
///
/// # Errors
/// [`DatabaseError`]
pub async fn corrected_contact<'e>(
    database: impl Executor<'e, Database = Any>,
    order_id: OrderId,
) -> Result<Option<CorrectedContact>, DatabaseError> {
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT email, phone FROM corrected_contacts WHERE order_id = $1
         ORDER BY position DESC LIMIT 1",
    )
    .bind(order_id.to_string())
    .fetch_optional(database)
    .await?;
    Ok(found.map(|(email, phone)| CorrectedContact { email, phone }))
}

/// The contact of each of these orders since its last correction, as [`corrected_contact`].
///
/// # Errors
/// [`DatabaseError`]
pub async fn corrected_contacts(
    database: &Database,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, CorrectedContact>, DatabaseError> {
    let select = "SELECT order_id, email, phone, position FROM corrected_contacts";
    let rows = database.rows_of(select, "order_id", orders).await?;
    let mut last: HashMap<OrderId, (i64, CorrectedContact)> = HashMap::new();
    for row in &rows {
        let order_id: String = row.try_get(0)?;
        let order_id =
            OrderId::recorded(&order_id).map_err(|_| DatabaseError::Corrupt("order id"))?;
        let (contact, position): (_, i64) =
            (CorrectedContact { email: row.try_get(1)?, phone: row.try_get(2)? }, row.try_get(3)?);
        if last.get(&order_id).is_none_or(|(before, _)| *before < position) {
            last.insert(order_id, (position, contact));
        }
    }
    Ok(last.into_iter().map(|(order_id, (_, contact))| (order_id, contact)).collect())
}

/// Forgets corrections after a position of a shard, because the journal was set back to it.
pub(super) async fn forget_contacts(
    tx: &mut Tx,
    shard: i64,
    position: i64,
) -> Result<(), DatabaseError> {
    sqlx::query("DELETE FROM corrected_contacts WHERE shard = $1 AND position > $2")
        .bind(shard)
        .bind(position)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whom a copy of a message goes to: as before, unless the order's contact was corrected since. None
/// where the customer is not reached by its channel any more.
pub(super) async fn recipient_now(
    tx: &mut Tx,
    entry: &Entry,
) -> Result<Option<String>, DatabaseError> {
    let to_customer = entry.channel != Channel::Webhook && !entry.is_for_operators();
    if !to_customer {
        return Ok(Some(entry.recipient.clone()));
    }
    Ok(match corrected_contact(&mut **tx, entry.order_id).await? {
        None => Some(entry.recipient.clone()),
        Some(contact) => contact.recipient(entry.channel).map(str::to_owned),
    })
}
