//! The books of payments, orders and the provider, compared order by order.
//! Never here: a call that changes anything.

use std::time::Duration;

use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use tokio::time::{Instant, timeout_at};

use super::calls::Calls;
use super::pay::{PROVIDER, WALLET};
use super::provider::{Book, Books, Paid, Sayings, Worth, kept, minor, unclaimed};
use super::wallets;
use crate::client::Failure;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long payments may take to settle: an answer that was lost is asked for four times by then,
/// 5, 20, 80 and 380 seconds after the call.
const SETTLED_WITHIN: Duration = Duration::from_secs(420);

/// What is compared, and how.
pub struct Scope<'a> {
    /// The provider's own book.
    pub book: &'a Book,
    /// What it had before.
    pub known: &'a Sayings,
    /// Whether wallets pay, too.
    pub wallets: bool,
    /// How it is counted what customers keep.
    pub worth: Worth,
}

/// Waits until all payments have settled, at most seven minutes, and compares the books of each
/// order; what differs after that is told.
///
/// # Errors
/// Where the engine or the provider stops answering.
pub async fn settled(calls: &Calls, scope: &Scope<'_>) -> Result<Paid, Failure> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        match timeout_at(until, compare(calls, scope)).await {
            Ok(found) => {
                let found = found?;
                if found.differing == 0 && found.sound && found.open == 0 {
                    return Ok(found);
                }
            }
            // Whatever is open now stays so: the last look is a whole one.
            Err(_) => return compare(calls, scope).await,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn compare(calls: &Calls, scope: &Scope<'_>) -> Result<Paid, Failure> {
    // The book first: what is added to it meanwhile is seen at the next look.
    let (mut said, sound) = scope.book.read().await?;
    let mut found = Paid { sound, ..Paid::default() };
    let mut page_token = String::new();
    loop {
        let page = calls.payments_after(page_token).await?;
        for payment in &page.payments {
            add(calls, scope, payment, &mut said, &mut found).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for (key, currency, books) in unclaimed(said, scope.known) {
        found.sums.entry(currency).or_default().add(&books);
        found.differ(String::new(), Some(key), books);
    }
    let currencies: Vec<String> = found.wallets.keys().cloned().collect();
    for currency in currencies {
        let owed = wallets::owed(calls, &currency).await?;
        if owed != 0 {
            let books = Books { captured_there: owed, ..Books::default() };
            found.differ(String::new(), Some(wallets::receivable(&currency)), books);
        }
    }
    Ok(found)
}

/// Adds a payment, if the load has it made.
async fn add(
    calls: &Calls,
    scope: &Scope<'_>,
    payment: &payments::Payment,
    said: &mut Sayings,
    found: &mut Paid,
) -> Result<(), Failure> {
    let by_wallet = scope.wallets && payment.psp == WALLET;
    let topped_up = match (by_wallet, payment.psp == PROVIDER) {
        // A wallet also pays orders of others, for which none was filled.
        (true, _) => wallets::topped_up(calls, &payment.order_id).await?,
        (false, true) => Some(0),
        (false, false) => None,
    };
    let Some(topped_up) = topped_up else { return Ok(()) };
    let status = payment.status().as_str_name();
    let status = status.trim_start_matches("PAYMENT_STATUS_").to_owned();
    *found.payments.entry(status).or_default() += 1;
    let operations = calls.operations_of(payment.payment_id.clone()).await?;
    let declined = operations.iter().filter(|one| was_declined(one)).count();
    found.declined += u64::try_from(declined).unwrap_or(u64::MAX);
    let open = operations.iter().filter(|one| is_open(one)).count();
    found.open += u64::try_from(open).unwrap_or(u64::MAX);
    let order = order_of(calls, payment).await?;
    let mut books = Books {
        captured: minor(payment.captured.as_ref())?,
        refunded: minor(payment.refunded.as_ref())?,
        kept: kept(&order, payment, scope.worth)?,
        ..Books::default()
    };
    for operation in &operations {
        let sums = match by_wallet {
            true => wallets::said(calls, operation).await?,
            // What it claims at the provider is taken out.
            false => said.remove(&operation.operation_id).unwrap_or_default(),
        };
        books.captured_there += sums.captured;
        books.refunded_there += sums.refunded;
    }
    let currency = payment.requested.as_ref().map(|one| one.currency_code.clone());
    let currency = currency.unwrap_or_default();
    if by_wallet {
        let of_wallets = found.wallets.entry(currency.clone()).or_default();
        of_wallets.books.add(&books);
        // One entry fills it for all payments of an order.
        if is_first(&order, payment) {
            of_wallets.topped_up += topped_up;
        }
    }
    found.sums.entry(currency).or_default().add(&books);
    if !books.agree() {
        found.differ(payment.order_id.clone(), None, books);
    }
    Ok(())
}

/// The order of a payment.
async fn order_of(calls: &Calls, payment: &payments::Payment) -> Result<proto::Order, Failure> {
    match calls.get(payment.order_id.clone()).await? {
        Ok(answer) => Ok(answer.order.unwrap_or_default()),
        Err(refused) => {
            let error = anyhow::anyhow!("order {}: {}", payment.order_id, refused.message);
            Err(error.into())
        }
    }
}

/// Whether it is the first payment of its order.
fn is_first(order: &proto::Order, payment: &payments::Payment) -> bool {
    let mut parts = order.payment.iter().flat_map(|of_order| &of_order.parts);
    parts.next().is_some_and(|part| part.payment_id == payment.payment_id)
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
