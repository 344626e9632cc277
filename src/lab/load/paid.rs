//! Pays orders. Never here: what the books come to.

use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::books::{Scope, settled};
use super::calls::Refused;
use super::drive::Shared;
use super::pay::{Customer, Paying, WALLET};
use super::provider::{Paid, Sayings};
use super::{plan, wallets};
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

/// Whether an order has anything to be paid: one that costs nothing has not.
fn wants_money(order: &proto::Order) -> bool {
    let status = order.payment.as_ref().map(proto::OrderPayment::status);
    status.is_some_and(|status| status != proto::PaymentStatus::NotRequired)
}

impl Shared {
    /// The plan of an order, where orders are paid.
    pub(super) fn plan(&self, order_id: Uuid) -> Option<proto::PaymentPlan> {
        self.paying.as_ref().map(|paying| paying.plan(order_id))
    }

    /// Whether it is meant that nobody pays this order, and it is as unpaid ones are: pending, or
    /// cancelled because its time ran out or its payment failed.
    pub(super) fn is_meant_unpaid(&self, order_id: Uuid, order: &proto::Order) -> bool {
        let customer = self.paying.as_ref().map(|paying| paying.customer(order_id));
        customer == Some(Customer::DoesNotPay) && is_pending_or_lapsed(order) && wants_money(order)
    }

    /// Waits until an order that was placed is answered: until stock has, and until it waits for no
    /// money any more.
    pub(super) async fn secured(
        &self,
        order: proto::Order,
        answered: oneshot::Receiver<()>,
    ) -> Result<proto::Order, Failure> {
        match &self.paying {
            Some(paying) if wants_money(&order) => self.pay(paying, order, answered).await,
            _ => self.await_answer(order, answered).await,
        }
    }

    /// Pays an order, attempt by attempt.
    async fn pay(
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
        if customer == Customer::PaysByWallet
            && order.status() == proto::OrderStatus::Pending
            && let Err(refused) = wallets::fill(&self.calls, &order).await?
        {
            self.attempt_refused(&refused);
            return Ok(order);
        }
        let until = Instant::now() + PAID_WITHIN;
        let mut order = order;
        for attempt in 1..=ATTEMPTS {
            if order.status() != proto::OrderStatus::Pending {
                break;
            }
            let token = match customer {
                Customer::PaysByWallet => WALLET,
                Customer::IsDeclinedFirst if attempt == 1 => "tok_decline_insufficient_funds",
                _ => "tok_visa",
            };
            let request = payments::AttemptRequest {
                order_id: order.order_id.clone(),
                attempt_id: plan::derived(&format!("attempt/{order_id}/{attempt}")).to_string(),
                psp_token: token.to_owned(),
                validate_only: false,
            };
            if let Err(refused) = self.calls.attempt(request).await? {
                self.attempt_refused(&refused);
                break;
            }
            order = self.paid_or_declined(order, until, &mut answered).await?;
        }
        Ok(order)
    }

    fn attempt_refused(&self, refused: &Refused) {
        self.report.pay(|counts| {
            *counts.attempts_refused.entry(refused.code.clone()).or_default() += 1;
        });
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
        let scope =
            Scope { book: &paying.book, known, wallets: paying.has_wallets(), worth: paying.worth };
        let found = settled(&self.calls, &scope).await?;
        self.report.pay(|counts| {
            let Paid { unpaid, attempts_refused, .. } = std::mem::take(counts);
            *counts = Paid { unpaid, attempts_refused, ..found };
        });
        Ok(())
    }
}
