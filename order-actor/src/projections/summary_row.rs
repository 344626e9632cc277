use serde::Serialize;
use shared_events::contract::{Currency, CustomerId, OrderId, Timestamp};

use super::order_summaries::Summary;

/// A summary as a row, by column names.
#[derive(Serialize)]
pub(super) struct Row {
    order_id: OrderId,
    customer_id: CustomerId,
    status: &'static str,
    version: u64,
    currency: Currency,
    total: i64,
    refunded: i64,
    units: u64,
    placed_at: i64,
    ordered_at: Option<i64>,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    returns_waiting: Option<u64>,
    /// JSON; most clients give none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<String>,
    /// JSON; many orders have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// Orders without a payment plan have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<&'static str>,
}

impl Row {
    pub(super) fn of(summary: &Summary) -> Self {
        Self {
            order_id: summary.order_id,
            customer_id: summary.customer_id,
            status: summary.status.code(),
            version: summary.version,
            currency: summary.total.currency,
            total: summary.total.minor,
            refunded: summary.refunded.minor,
            units: summary.units,
            placed_at: summary.placed_at.micros(),
            ordered_at: summary.ordered_at.map(Timestamp::micros),
            updated_at: summary.updated_at.micros(),
            returns_waiting: Some(summary.returns_waiting).filter(|waiting| *waiting > 0),
            names: None,
            words: None,
            held: Some(summary.holds).filter(|holds| *holds > 0),
            payment: summary.has_plan.then(|| summary.payment.code()),
        }
    }
}
