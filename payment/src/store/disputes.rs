use shared_events::contract::{OrderId, PaymentId, PspName, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{instant, optional_instant, word};
use crate::domain::Dispute;

/// A dispute that is open, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDispute {
    /// The payment.
    pub payment_id: PaymentId,
    /// The provider's name of the dispute.
    pub dispute_id: String,
    /// The order.
    pub order_id: OrderId,
    /// The provider.
    pub psp: PspName,
    /// Until when evidence can be given, where the provider says so.
    pub respond_by: Option<Timestamp>,
    /// When it was heard of.
    pub opened_at: Timestamp,
}

/// Disputes that are open: those that must be answered first come first.
///
/// # Errors
/// [`DatabaseError`]
pub async fn open_disputes(
    database: &Database,
    limit: u32,
) -> Result<Vec<OpenDispute>, DatabaseError> {
    let sql = "SELECT payment_id, dispute_id, order_id, psp, respond_by, opened_at FROM disputes
               WHERE outcome IS NULL ORDER BY COALESCE(respond_by, opened_at), dispute_id LIMIT $1";
    let rows = sqlx::query(sql).bind(i64::from(limit)).fetch_all(database.reader()).await?;
    let one = |row: &AnyRow| {
        Ok(OpenDispute {
            payment_id: word(row, 0, "payment of a dispute")?,
            dispute_id: row.try_get(1)?,
            order_id: word(row, 2, "order of a dispute")?,
            psp: word(row, 3, "provider of a dispute")?,
            respond_by: optional_instant(row, 4)?,
            opened_at: instant(row, 5)?,
        })
    };
    rows.iter().map(one).collect()
}

/// When the dispute was heard of that has been open longest.
///
/// # Errors
/// [`DatabaseError`]
pub async fn disputed_since(database: &Database) -> Result<Option<Timestamp>, DatabaseError> {
    let sql = "SELECT MIN(opened_at) FROM disputes WHERE outcome IS NULL";
    optional_instant(&sqlx::query(sql).fetch_one(database.reader()).await?, 0)
}

/// Adds a dispute.
pub(super) async fn add(
    tx: &mut Tx,
    (order, psp): (OrderId, &PspName),
    payment: PaymentId,
    dispute: &Dispute,
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO disputes VALUES ($1, $2, $3, $4, $5, $6, NULL)";
    let query = sqlx::query(sql).bind(payment.to_string()).bind(dispute.id.clone());
    let query = query.bind(order.to_string()).bind(psp.as_str().to_owned());
    let query = query.bind(dispute.respond_by.map(Timestamp::micros));
    query.bind(dispute.at.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// A dispute ended.
pub(super) async fn close(
    tx: &mut Tx,
    (payment, dispute): (PaymentId, &str),
    won: bool,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE disputes SET outcome = $3 WHERE payment_id = $1 AND dispute_id = $2";
    let query = sqlx::query(sql).bind(payment.to_string()).bind(dispute.to_owned());
    query.bind(if won { "WON" } else { "LOST" }).execute(&mut **tx).await?;
    Ok(())
}
