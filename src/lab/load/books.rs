//! The books of payments, orders and the provider, compared order by order.
//! Never here: a call that changes anything.

use std::time::Duration;

use payment::grpc::proto as payments;
use tokio::time::{Instant, timeout_at};

use super::calls::Calls;
use super::pay::PROVIDER;
use super::provider::{Book, Books, Paid, Sayings, kept, minor, unclaimed};
use crate::client::Failure;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long payments may take to settle: an answer that was lost is asked for four times by then,
/// 5, 20, 80 and 380 seconds after the call.
const SETTLED_WITHIN: Duration = Duration::from_secs(420);

/// Waits until all payments have settled, at most seven minutes, and compares the books of each
/// order; what differs after that is told. What the provider's book had before is known.
///
/// # Errors
/// Where the engine or the provider stops answering.
pub async fn settled(calls: &Calls, book: &Book, known: &Sayings) -> Result<Paid, Failure> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        match timeout_at(until, compare(calls, book, known)).await {
            Ok(found) => {
                let found = found?;
                if found.differing == 0 && found.sound && found.open == 0 {
                    return Ok(found);
                }
            }
            // Whatever is open now stays so: the last look is a whole one.
            Err(_) => return compare(calls, book, known).await,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn compare(calls: &Calls, book: &Book, known: &Sayings) -> Result<Paid, Failure> {
    // The book first: what is added to it meanwhile is seen at the next look.
    let (mut said, sound) = book.read().await?;
    let mut found = Paid { sound, ..Paid::default() };
    let mut page_token = String::new();
    loop {
        let page = calls.payments_after(page_token).await?;
        for payment in page.payments.iter().filter(|payment| payment.psp == PROVIDER) {
            let status = payment.status().as_str_name();
            let status = status.trim_start_matches("PAYMENT_STATUS_").to_owned();
            *found.payments.entry(status).or_default() += 1;
            let operations = calls.operations_of(payment.payment_id.clone()).await?;
            let declined = operations.iter().filter(|one| was_declined(one)).count();
            found.declined += u64::try_from(declined).unwrap_or(u64::MAX);
            let open = operations.iter().filter(|one| is_open(one)).count();
            found.open += u64::try_from(open).unwrap_or(u64::MAX);
            let books = books_of(calls, payment, &operations, &mut said).await?;
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
    calls: &Calls,
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
    let order = match calls.get(payment.order_id.clone()).await? {
        Ok(answer) => answer.order.unwrap_or_default(),
        Err(refused) => {
            let error = anyhow::anyhow!("order {}: {}", payment.order_id, refused.message);
            return Err(error.into());
        }
    };
    books.kept = kept(&order)?;
    Ok(books)
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
