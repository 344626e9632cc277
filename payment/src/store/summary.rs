use shared_events::contract::{
    Currency, CustomerId, OrderId, PaymentId, PspName, Seller, Timestamp,
};

use crate::domain::{Case, Payment, Status};

/// A payment as lists have it. Sums are minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSummary {
    /// Its id.
    pub id: PaymentId,
    /// The order.
    pub order_id: OrderId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// Who gets it; absent where the shop itself does.
    pub seller: Option<Seller>,
    /// The provider.
    pub psp: PspName,
    /// The currency of all sums.
    pub currency: Currency,
    /// The word for it.
    pub status: Status,
    /// Asked for at first.
    pub requested: i64,
    /// Still wanted.
    pub wanted: i64,
    /// Reserved in all.
    pub authorized: i64,
    /// Taken.
    pub captured: i64,
    /// Paid back.
    pub refunded: i64,
    /// When something last happened.
    pub updated_at: Timestamp,
}

/// The payments of a case as lists have them once this is written, by id.
pub(crate) fn summaries(case: &Case, now: Timestamp) -> Vec<PaymentSummary> {
    let Some(plan) = &case.plan else { return Vec::new() };
    let one = |one: &Payment| PaymentSummary {
        id: one.id,
        order_id: case.order_id,
        customer_id: plan.customer_id,
        seller: one.seller.clone(),
        psp: plan.psp.clone(),
        currency: one.currency,
        status: one.status(),
        requested: one.requested,
        wanted: one.wanted(),
        authorized: one.authorized(),
        captured: one.captured(),
        refunded: one.refunded(),
        updated_at: now,
    };
    let mut all: Vec<PaymentSummary> = case.payments.iter().map(one).collect();
    all.sort_by_key(|one| one.id);
    all
}
