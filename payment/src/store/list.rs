use std::collections::BTreeSet;

use shared_events::contract::{Currency, CustomerId, OrderId, PaymentId, PspName};
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::cases::case_of;
use super::summary::PaymentSummary;
use super::{instant, json, word};
use crate::domain::{Case, Status};

/// Which payments. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentFilter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// With this word.
    pub status: Option<Status>,
    /// After this one, by id.
    pub after: Option<PaymentId>,
}

const SUMMARY: &str = "SELECT payment_id, order_id, customer_id, seller, psp, currency, status,
                              requested, wanted, authorized, captured, refunded, updated_at
                       FROM payments";

/// The payments of these orders, as far as anything is known of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn cases_of(
    database: &Database,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<Case>, DatabaseError> {
    let sql = format!("SELECT body, shard FROM cases WHERE order_id {}", database.one_of());
    let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(database.reader()).await?;
    rows.iter().map(|row| case_of(row).map(|(case, _)| case)).collect()
}

/// Payments by id, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payments(
    database: &Database,
    filter: &PaymentFilter,
    limit: u32,
) -> Result<Vec<PaymentSummary>, DatabaseError> {
    let mut sql = format!("{SUMMARY} WHERE payment_id > $1");
    let mut values = vec![filter.after.map(|id| id.to_string()).unwrap_or_default()];
    let mut only = |column: &str, value: Option<String>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    };
    only("order_id", filter.order.map(|id| id.to_string()));
    only("customer_id", filter.customer.map(|id| id.to_string()));
    only("status", filter.status.map(|status| status.code().to_owned()));
    sql.push_str(&format!(" ORDER BY payment_id LIMIT {limit}"));
    let mut query = sqlx::query(&sql);
    for value in values {
        query = query.bind(value);
    }
    query.fetch_all(database.reader()).await?.iter().map(summary).collect()
}

/// The payment with this id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payment(
    database: &Database,
    id: PaymentId,
) -> Result<Option<PaymentSummary>, DatabaseError> {
    let sql = format!("{SUMMARY} WHERE payment_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(summary).transpose()
}

/// Payments for which a provider did something that it calls so, whichever provider: each with the
/// order and the provider, in no order, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn referred(
    database: &Database,
    reference: &str,
    limit: u32,
) -> Result<Vec<(PaymentId, OrderId, PspName)>, DatabaseError> {
    let sql = format!(
        "SELECT payment_id, order_id, psp FROM psp_references WHERE reference = $1 LIMIT {limit}"
    );
    let rows = sqlx::query(&sql).bind(reference.to_owned()).fetch_all(database.reader()).await?;
    let of = |row: &AnyRow| {
        let (payment, order) =
            (word(row, 0, "payment of a reference")?, word(row, 1, "order of a reference")?);
        Ok((payment, order, word(row, 2, "provider of a reference")?))
    };
    rows.iter().map(of).collect()
}

fn summary(row: &AnyRow) -> Result<PaymentSummary, DatabaseError> {
    let (seller, status): (Option<String>, String) = (row.try_get(3)?, row.try_get(6)?);
    let currency: String = row.try_get(5)?;
    let seller = seller.map(|text| text.parse()).transpose();
    Ok(PaymentSummary {
        id: word(row, 0, "id of a payment")?,
        order_id: word(row, 1, "order of a payment")?,
        customer_id: word(row, 2, "customer of a payment")?,
        seller: seller.map_err(|_| DatabaseError::Corrupt("seller of a payment"))?,
        psp: word(row, 4, "provider of a payment")?,
        currency: Currency::recorded(&currency)
            .map_err(|_| DatabaseError::Corrupt("currency of a payment"))?,
        status: Status::of_code(&status).ok_or(DatabaseError::Corrupt("status of a payment"))?,
        requested: row.try_get(7)?,
        wanted: row.try_get(8)?,
        authorized: row.try_get(9)?,
        captured: row.try_get(10)?,
        refunded: row.try_get(11)?,
        updated_at: instant(row, 12)?,
    })
}
