use std::collections::BTreeMap;

use shared_events::contract::{OperationId, OrderId, PaymentId, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::word;

/// The longest address that is kept.
const URL_CHARS_MAX: usize = 4_000;

/// Whether an address may be shown to a customer: a page by TLS, and nothing else that a browser
/// would open or run.
fn may_be_shown(url: &str) -> bool {
    url.starts_with("https://")
        && url.len() <= URL_CHARS_MAX
        && url.bytes().all(|c| c.is_ascii_graphic())
}

/// Keeps where a customer acts, for as long as the attempt lasts.
pub(crate) async fn keep_action(
    tx: &mut Tx,
    (operation, order, payment): (OperationId, OrderId, PaymentId),
    url: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    if !may_be_shown(url) {
        tracing::warn!(%operation, "the page for the customer is no https:// address");
        return Ok(());
    }
    let sql = "INSERT INTO actions (operation_id, order_id, payment_id, url, kept_at)
               VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (operation_id) DO UPDATE SET url = excluded.url";
    let query = sqlx::query(sql).bind(operation.to_string()).bind(order.to_string());
    let query = query.bind(payment.to_string()).bind(url.to_owned());
    query.bind(now.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// An attempt ended.
pub(super) async fn forget(tx: &mut Tx, id: OperationId) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM actions WHERE operation_id = $1";
    sqlx::query(sql).bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// The order was lost, and another one is in its place.
pub(super) async fn forget_all(tx: &mut Tx, order: OrderId) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM actions WHERE order_id = $1";
    sqlx::query(sql).bind(order.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes those that were kept since before an instant.
pub(crate) async fn forget_old_actions(
    tx: &mut Tx,
    before: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM actions WHERE kept_at < $1";
    sqlx::query(sql).bind(before.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// Where the customer of an order acts, by payment.
///
/// # Errors
/// [`DatabaseError`]
pub async fn actions(
    database: &Database,
    order: OrderId,
) -> Result<BTreeMap<PaymentId, String>, DatabaseError> {
    let sql = "SELECT payment_id, url FROM actions WHERE order_id = $1";
    let rows = sqlx::query(sql).bind(order.to_string()).fetch_all(database.reader()).await?;
    let one = |row: &AnyRow| Ok((word(row, 0, "payment of an action")?, row.try_get(1)?));
    rows.iter().map(one).collect()
}
