//! Whether wallets have what payments by wallet did, and hold nothing else for them.

use std::collections::{BTreeMap, BTreeSet};

use ledger::domain::{ChartAccount, EntryId, Hold, TransferKind, wallet_of};
use ledger::store::{self, BookedEntry};
use payment::domain::OperationKind;
use shared_events::contract::{Fact, FactBody, OperationId, PaymentFact, PaymentId, PspName};
use shared_events::stream::Database;

use super::report::{Law, Report};
use crate::engine::wallets::NAME;

/// Rows that are read together.
const PAGE: u32 = 500;

/// What payments say was done with a wallet.
pub(super) struct Said {
    payment: PaymentId,
    kind: TransferKind,
    minor: i64,
}

/// By operation, whose entry has the same id.
pub(super) type Expected = BTreeMap<EntryId, Said>;

/// Adds what a fact says that the ledger has read: by then its wallet had done it.
pub(super) fn expect(expected: &mut Expected, fact: &Fact) {
    let FactBody::Payment(body) = &fact.body else { return };
    let (payment, kind) = match body {
        PaymentFact::Authorized { payment, .. } => (payment, TransferKind::Held),
        PaymentFact::Captured { payment, .. } => (payment, TransferKind::HoldPosted),
        PaymentFact::Refunded { payment, .. } => (payment, TransferKind::Posted),
        _ => return,
    };
    if payment.psp.as_str() == NAME {
        let said = Said { payment: payment.payment_id, kind, minor: payment.amount.minor };
        expected.insert(EntryId::from(payment.operation_id.uuid()), said);
    }
}

/// Looks for the entries of operations.
pub(super) async fn compare(
    report: &mut Report,
    book: &Database,
    expected: &Expected,
) -> anyhow::Result<()> {
    if expected.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<EntryId> = expected.keys().copied().collect();
    let found = store::entries_of(book, &ids).await?;
    let found: BTreeMap<EntryId, BookedEntry> =
        found.into_iter().map(|entry| (entry.id, entry)).collect();
    for (id, Said { payment, kind, minor }) in expected {
        report.check(Law::WalletsAsPayments);
        let is_of_wallet = |one: &ledger::domain::Transfer| {
            [&one.debit, &one.credit].iter().any(|name| wallet_of(name).is_some())
        };
        let wrong = match found.get(id).and_then(|entry| entry.transfers.first()) {
            None => "is not in the book",
            Some(one) if (one.kind, one.amount) != (*kind, *minor) => "is another in the book",
            Some(one) if !is_of_wallet(one) => "is of no wallet",
            Some(_) => continue,
        };
        let detail = format!("operation {id} by wallet {wrong}");
        report.find(Law::WalletsAsPayments, format!("payment/{payment}"), detail);
    }
    Ok(())
}

/// Wallets have the terms of wallets, and what they hold for payments is held by operations. The
/// snapshot of the book is the older one: an operation is stored before its hold is.
pub(super) async fn check(
    report: &mut Report,
    book: &Database,
    paid: &Database,
) -> anyhow::Result<()> {
    terms(report, book).await?;
    let mut after = String::new();
    loop {
        let page = store::holds_held(book, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id.to_string();
        for hold in page.iter().filter(|hold| is_for_payments(hold)) {
            report.check(Law::WalletsAsPayments);
            let id = OperationId::from_uuid(hold.id.uuid());
            let made = payment::store::operation(paid, id).await?;
            let is_its_own = made.is_some_and(|one| {
                one.kind == OperationKind::Authorize && one.psp.as_str() == NAME
            });
            if !is_its_own {
                let detail = format!("{} is held for no payment", hold.debit);
                report.find(Law::WalletsAsPayments, format!("hold/{}", hold.id), detail);
            }
        }
    }
}

async fn terms(report: &mut Report, book: &Database) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let page = store::accounts(book, "wallet:", &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.terms.name.to_string();
        for account in page {
            let Some((customer, currency)) = wallet_of(&account.terms.name) else { continue };
            report.check(Law::WalletsAsPayments);
            if ChartAccount::Wallet(customer).terms(currency).ok().as_ref() != Some(&account.terms)
            {
                let subject = format!("account/{}", account.terms.name);
                let detail = "has not the terms of a wallet".to_owned();
                report.find(Law::WalletsAsPayments, subject, detail);
            }
        }
    }
}

/// Whether a wallet holds for what payments by wallet are booked on.
fn is_for_payments(hold: &Hold) -> bool {
    let psp: Option<PspName> = NAME.parse().ok();
    let receivable =
        psp.and_then(|psp| ChartAccount::PspReceivable(&psp).terms(hold.currency).ok());
    wallet_of(&hold.debit).is_some() && receivable.is_some_and(|one| one.name == hold.credit)
}
