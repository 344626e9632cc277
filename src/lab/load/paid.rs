//! Pays orders, and compares the books in the end.

use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::drive::Shared;
use super::pay::{Customer, PROVIDER, Paying};
use super::plan;
use super::provider::{Book, Books, Paid, Sayings, kept, minor, unclaimed};
use crate::client::Failure;

/// Attempts that a payment may have; the engine takes no more.
const ATTEMPTS: u32 = 5;
/// How long an order may wait for its money before the load continues without it. A lost answer of
/// the provider is asked for after 5, 20 and 80 seconds.
const PAID_WITHIN: Duration = Duration::from_secs(180);
/// How often a payment is looked at, at first and later.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long payments may take to settle after the last invoice: a lost answer is asked for after 5,
/// 20 and 80 seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(240);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether it is meant that nobody pays an order.
    pub(super) fn is_unpaid(&self, order_id: Uuid) -> bool {
        let customer = self.paying.as_ref().map(|paying| paying.customer(order_id));
        customer == Some(Customer::DoesNotPay)
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
            self.report.pay(|counts| counts.unpaid += 1);
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
    /// Waits until all payments have settled, and compares the books of each order; what differs
    /// after that is told. What the provider's book had before the load is known.
    ///
    /// # Errors
    /// Where the engine or the provider stops answering.
    pub(super) async fn settle(&self, paying: &Paying, known: &Sayings) -> Result<(), Failure> {
        let until = Instant::now() + SETTLED_WITHIN;
        let found = loop {
            match timeout_at(until, self.compare(&paying.book, known)).await {
                Ok(found) => {
                    let found = found?;
                    if found.differing == 0 && found.sound && found.open == 0 {
                        break found;
                    }
                }
                // Whatever is open now stays so: the last look is a whole one.
                Err(_) => break self.compare(&paying.book, known).await?,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.report.pay(|counts| {
            let Paid { declined, payments, sums, open, sound, differing, first_differing, .. } =
                found;
            (counts.declined, counts.payments) = (declined, payments);
            (counts.sums, counts.open, counts.sound) = (sums, open, sound);
            (counts.differing, counts.first_differing) = (differing, first_differing);
        });
        Ok(())
    }

    async fn compare(&self, book: &Book, known: &Sayings) -> Result<Paid, Failure> {
        // The book first: what is added to it meanwhile is seen at the next look.
        let (mut said, sound) = book.read().await?;
        let mut found = Paid { sound, ..Paid::default() };
        let mut page_token = String::new();
        loop {
            let page = self.calls.payments_after(page_token).await?;
            for payment in page.payments.iter().filter(|payment| payment.psp == PROVIDER) {
                let status = payment.status().as_str_name();
                let status = status.trim_start_matches("PAYMENT_STATUS_").to_owned();
                *found.payments.entry(status).or_default() += 1;
                let operations = self.calls.operations_of(payment.payment_id.clone()).await?;
                let declined = operations.iter().filter(|one| was_declined(one)).count();
                found.declined += u64::try_from(declined).unwrap_or(u64::MAX);
                let open = operations.iter().filter(|one| is_open(one)).count();
                found.open += u64::try_from(open).unwrap_or(u64::MAX);
                let books = self.books_of(payment, &operations, &mut said).await?;
                let currency = payment.requested.as_ref().map(|one| one.currency_code.clone());
                found.sums.entry(currency.unwrap_or_default()).or_default().add(&books);
                if !books.agree() {
                    found.differ(payment.order_id.clone(), None, books);
                }
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        for (key, currency, books) in unclaimed(said, known) {
            found.sums.entry(currency).or_default().add(&books);
            found.differ(String::new(), Some(key), books);
        }
        Ok(found)
    }

    /// What books say of one payment: the only one of its order, since the plan names no sellers.
    /// What it claims at the provider is taken out.
    async fn books_of(
        &self,
        payment: &payments::Payment,
        operations: &[payments::Operation],
        said: &mut Sayings,
    ) -> Result<Books, Failure> {
        let mut books = Books {
            captured: minor(payment.captured.as_ref())?,
            refunded: minor(payment.refunded.as_ref())?,
            ..Books::default()
        };
        for operation in operations {
            if let Some(sums) = said.remove(&operation.operation_id) {
                books.captured_there += sums.captured;
                books.refunded_there += sums.refunded;
            }
        }
        let order = match self.calls.get(payment.order_id.clone()).await? {
            Ok(answer) => answer.order.unwrap_or_default(),
            Err(refused) => {
                let error = anyhow::anyhow!("order {}: {}", payment.order_id, refused.message);
                return Err(error.into());
            }
        };
        books.kept = kept(&order)?;
        Ok(books)
    }
}

/// Whether its end is not known yet.
fn is_open(operation: &payments::Operation) -> bool {
    matches!(operation.state(), payments::OperationState::Open | payments::OperationState::Pending)
}

/// Whether it is an attempt that the provider declined.
fn was_declined(operation: &payments::Operation) -> bool {
    operation.kind() == payments::OperationKind::Authorize
        && operation.state() == payments::OperationState::Declined
}
