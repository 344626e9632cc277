//! Pays orders. Never here: what the books come to.

use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::drive::Shared;
use super::pay::{Customer, Paying};
use super::provider::{Paid, Sayings};
use super::{books, plan};
use crate::client::Failure;

/// Attempts that a payment may have; the engine takes no more.
const ATTEMPTS: u32 = 5;
/// How long an order may wait for its money before the load continues without it. A lost answer of
/// the provider is asked for after 5, 20 and 80 seconds.
const PAID_WITHIN: Duration = Duration::from_secs(180);
/// How often a payment is looked at, at first and later.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Whether an order is pending, or was cancelled because its time ran out or its payment failed.
fn is_pending_or_lapsed(order: &proto::Order) -> bool {
    match order.status() {
        proto::OrderStatus::Pending => true,
        proto::OrderStatus::Cancelled => matches!(
            order.cancel_reason(),
            proto::CancelReason::SlaTimeout | proto::CancelReason::PaymentFailed
        ),
        _ => false,
    }
}

impl Shared {
    /// Whether it is meant that nobody pays this order, and it is as unpaid ones are: pending, or
    /// cancelled because its time ran out or its payment failed.
    pub(super) fn is_meant_unpaid(&self, order_id: Uuid, order: &proto::Order) -> bool {
        let customer = self.paying.as_ref().map(|paying| paying.customer(order_id));
        customer == Some(Customer::DoesNotPay) && is_pending_or_lapsed(order)
    }

    /// Pays an order that was placed, attempt by attempt, until it waits for no money any more.
    pub(super) async fn pay(
        &self,
        paying: &Paying,
        order: proto::Order,
        mut answered: oneshot::Receiver<()>,
    ) -> Result<proto::Order, Failure> {
        let order_id: Uuid = order.order_id.parse().context("id of an order")?;
        let customer = paying.customer(order_id);
        if customer == Customer::DoesNotPay {
            if is_pending_or_lapsed(&order) {
                self.report.pay(|counts| counts.unpaid += 1);
            }
            return Ok(order);
        }
        let until = Instant::now() + PAID_WITHIN;
        let mut order = order;
        for attempt in 1..=ATTEMPTS {
            if order.status() != proto::OrderStatus::Pending {
                break;
            }
            let declined = attempt == 1 && customer == Customer::IsDeclinedFirst;
            let token = if declined { "tok_decline_insufficient_funds" } else { "tok_visa" };
            let request = payments::AttemptRequest {
                order_id: order.order_id.clone(),
                attempt_id: plan::derived(&format!("attempt/{order_id}/{attempt}")).to_string(),
                psp_token: token.to_owned(),
                validate_only: false,
            };
            if let Err(refused) = self.calls.attempt(request).await? {
                self.report.pay(|counts| {
                    *counts.attempts_refused.entry(refused.code.clone()).or_default() += 1;
                });
                break;
            }
            order = self.paid_or_declined(order, until, &mut answered).await?;
        }
        Ok(order)
    }

    /// Waits until the order does not wait for money any more, or the last attempt was declined.
    async fn paid_or_declined(
        &self,
        mut order: proto::Order,
        until: Instant,
        answered: &mut oneshot::Receiver<()>,
    ) -> Result<proto::Order, Failure> {
        let (mut wait, longest) = LOOK_AFTER;
        while Instant::now() < until {
            if answered.is_terminated() {
                tokio::time::sleep(wait).await;
            } else {
                // Reported or not, the order itself is read.
                let _ = timeout(wait, &mut *answered).await;
            }
            wait = longest.min(wait * 2);
            if let Ok(answer) = self.calls.get(order.order_id.clone()).await? {
                order = answer.order.unwrap_or_default();
            }
            if order.status() != proto::OrderStatus::Pending {
                return Ok(order);
            }
            let known = self.calls.payments_of(order.order_id.clone()).await?;
            let declined =
                |one: &payments::Payment| one.status() == payments::PaymentStatus::Declined;
            if known.iter().any(declined) {
                return Ok(order);
            }
        }
        Ok(order)
    }
}

impl Shared {
    /// Waits until all payments have settled, and keeps what the books come to then. What the
    /// provider's book had before the load is known.
    ///
    /// # Errors
    /// Where the engine or the provider stops answering.
    pub(super) async fn settle(&self, paying: &Paying, known: &Sayings) -> Result<(), Failure> {
        let found = books::settled(&self.calls, &paying.book, known).await?;
        self.report.pay(|counts| {
            let Paid { declined, payments, sums, open, sound, differing, first_differing, .. } =
                found;
            (counts.declined, counts.payments) = (declined, payments);
            (counts.sums, counts.open, counts.sound) = (sums, open, sound);
            (counts.differing, counts.first_differing) = (differing, first_differing);
        });
        Ok(())
    }
}
