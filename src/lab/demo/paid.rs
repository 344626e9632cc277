use std::sync::Arc;
use std::time::Duration;

use order_actor::clock::{Clock as _, ManualClock};
use psp::Dialect;
use psp::simulator::{Settings, SimulatedPsp};
use serde_json::{Value, json};
use shared_events::chance::Chance;
use uuid::Uuid;

use super::{Outcome, Story, until_is};
use crate::client::{Failure, code};
use crate::engine::psps::Psps;

/// The name of the provider that takes cards.
const PROVIDER: &str = "play";
/// Attempts that a payment may have.
const ATTEMPTS: u32 = 5;
/// When the provider decides what it works on.
const DECIDED_AFTER: Duration = Duration::from_secs(5 * 60);

/// A provider that moves no money, on the same clock, and the wallets of the ledger.
pub(super) fn providers(clock: &ManualClock) -> anyhow::Result<Psps> {
    let clock = clock.clone();
    let settings = Settings { name: PROVIDER.to_owned(), ..Settings::default() };
    let psp = SimulatedPsp::new(settings, Arc::new(move || clock.now()), Chance::seeded(1));
    Psps::of(PROVIDER, Dialect::Simulator, Arc::new(psp))?.and_wallets()
}

impl Story {
    /// Orders that are paid: what parcels take, what comes back, and what comes too late.
    pub(super) async fn paid(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        let order = self.paid_and_delivered().await?;
        let story = "Paid by card and delivered";
        self.end(outcomes, story, order, "FULFILLED, payment CAPTURED").await?;

        let order = self.place_to_be_paid(PROVIDER, &[("MUG", 1)]).await?;
        for attempt in 1..=ATTEMPTS {
            self.attempt(order, "tok_decline_insufficient_funds").await?;
            let last = attempt == ATTEMPTS;
            self.until_payment(order, if last { "FAILED" } else { "DECLINED" }).await?;
        }
        self.until(order, "CANCELLED").await?;
        let expected = "CANCELLED PAYMENT_FAILED, payment FAILED";
        self.end(outcomes, "Every card was declined", order, expected).await?;

        let order = self.paid_and_delivered().await?;
        self.one_is_refunded(order).await?;
        let expected = "FULFILLED, return approved, payment PARTIALLY_REFUNDED";
        self.end(outcomes, "One mug sent back and refunded", order, expected).await?;

        let order = self.place_to_be_paid(PROVIDER, &[("MUG", 1)]).await?;
        self.attempt(order, "tok_pending").await?;
        self.until_payment(order, "ACTION_REQUIRED").await?;
        let cancel = json!({ "order_id": order, "text": "it takes too long" });
        self.call(&self.buyer, "CancelOrder", cancel).await?;
        self.clock.advance(DECIDED_AFTER);
        self.until_payment(order, "VOIDED").await?;
        let expected = "CANCELLED CUSTOMER_REQUEST, payment VOIDED";
        self.end(outcomes, "Paid after it was cancelled", order, expected).await
    }

    async fn paid_and_delivered(&self) -> Result<Uuid, Failure> {
        let order = self.place_to_be_paid(PROVIDER, &[("MUG", 2), ("PLATE", 1)]).await?;
        self.is_paid_and_delivered(order, "tok_visa").await?;
        Ok(order)
    }

    /// Pays an order with this token and ships it, which takes the money.
    pub(super) async fn is_paid_and_delivered(
        &self,
        order: Uuid,
        token: &str,
    ) -> Result<(), Failure> {
        self.attempt(order, token).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[]).await?;
        self.until_payment(order, "CAPTURED").await
    }

    /// A unit of the first line comes back and is refunded.
    pub(super) async fn one_is_refunded(&self, order: Uuid) -> Result<(), Failure> {
        let one = json!([{ "line": 1, "quantity": 1 }]);
        let ask = json!({ "order_id": order, "lines": one, "reason": "too big" });
        self.call(&self.buyer, "RequestReturn", ask).await?;
        self.call(&self.ops, "ApproveReturn", json!({ "order_id": order })).await?;
        self.until_payment(order, "PARTIALLY_REFUNDED").await
    }

    /// Placed by the shop, since customers name no payment plans.
    pub(super) async fn place_to_be_paid(
        &self,
        psp: &str,
        lines: &[(&str, u32)],
    ) -> Result<Uuid, Failure> {
        let (order, mut request) = self.placing(lines);
        request["payment"] = json!({ "psp": psp });
        self.call(&self.ops, "PlaceOrder", request).await?;
        Ok(order)
    }

    async fn attempt(&self, order: Uuid, token: &str) -> Result<(), Failure> {
        let request =
            json!({ "order_id": order, "attempt_id": Uuid::now_v7(), "psp_token": token });
        self.buyer.call("payments.v1.PaymentService/Attempt", request).await?;
        Ok(())
    }

    /// The payments of an order.
    pub(super) async fn payments(&self, order: Uuid) -> Result<Vec<Value>, Failure> {
        let request = json!({ "order_id": order });
        let mut answer = self.ops.call("payments.v1.PaymentService/ListPayments", request).await?;
        Ok(match answer["payments"].take() {
            Value::Array(payments) => payments,
            _ => Vec::new(),
        })
    }

    /// The word for an order's payment, if it has one.
    pub(super) async fn payment(&self, order: Uuid) -> Result<Option<String>, Failure> {
        let payments = self.payments(order).await?;
        Ok(payments.first().map(|payment| code(payment, "status", "PAYMENT_STATUS_")))
    }

    /// What was done at the provider for an order, in order.
    pub(super) async fn operations(&self, order: Uuid) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        for payment in self.payments(order).await? {
            let request = json!({ "payment_id": payment["payment_id"] });
            let mut answer =
                self.ops.call("payments.v1.PaymentService/GetPayment", request).await?;
            if let Value::Array(operations) = answer["operations"].take() {
                all.extend(operations);
            }
        }
        Ok(all)
    }

    /// Waits until the order's payment is so; the provider is called and asked by itself.
    async fn until_payment(&self, order: Uuid, status: &str) -> Result<(), Failure> {
        until_is(&format!("the payment of order {order}"), status, async || {
            Ok(self.payment(order).await?.unwrap_or_default())
        })
        .await
    }
}
