//! Whether the book has what payments say, cent by cent.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use ledger::domain::{Entry, EntryId, Transfer, is_of_takings};
use ledger::posting::{payment_of, posting, taken_by};
use ledger::store::{BookedEntry, entries_of};
use shared_events::contract::{Fact, FactBody, PaymentId};
use shared_events::stream::{Cursors, Database, DeadLetters, Outbox, Source as _};

use super::report::{Law, Report};
use super::stores::{PAGE, Rest};
use super::{of_payouts, of_settlements, of_wallets};
use crate::engine::services::ledger::{ENTRIES, SERVICE};
use crate::engine::services::payments;

/// What is taken from the customer of a payment and not paid back, in minor units.
#[derive(Default)]
struct Sums {
    /// By all facts.
    told: i128,
    /// By those that the ledger has read and not set aside.
    read: i128,
    /// By what these booked.
    booked: i128,
}

/// An entry that the book must have, and whose money it is.
type Expected = BTreeMap<EntryId, (PaymentId, Entry)>;

/// Compares the book with the facts of payments that it has read, and these with the payments.
/// `of_payments` is how many entries the book has of them.
pub(super) async fn check(
    report: &mut Report,
    rest: &Rest<'_>,
    of_payments: u64,
) -> anyhow::Result<()> {
    let open = |name| rest.stores.databases.iter().any(|(service, _)| service.name == name);
    if !open(payments::SERVICE.name) {
        return Ok(());
    }
    let (book, paid) = (rest.stores.of(&SERVICE)?, rest.stores.of(&payments::SERVICE)?);
    let read = Cursors::load(book, ENTRIES.name).await?;
    let set_aside = set_aside(book).await?;
    let facts = Outbox::new(paid.clone());
    let (mut at, mut booked) = (Cursors::default(), 0_u64);
    let mut sums: BTreeMap<PaymentId, Sums> = BTreeMap::new();
    let mut by_wallet = of_wallets::Expected::default();
    let mut paid_out = of_payouts::Expected::default();
    let mut by_report = of_settlements::Expected::default();
    loop {
        let page = facts.read_after(&at, usize::try_from(PAGE).unwrap_or(usize::MAX)).await;
        let page = page.context("facts of payments")?;
        if page.is_empty() {
            break;
        }
        at.merge(&page.through);
        let mut expected = Expected::new();
        for fact in &page.items {
            let is_read = fact.position <= read.get(fact.shard)
                && !set_aside.contains(&(fact.shard, fact.position));
            expect(report, &mut sums, &mut expected, (fact, is_read));
            if is_read {
                by_wallet.expect(fact);
            }
            paid_out.expect(fact, is_read);
            by_report.expect(report, fact, is_read);
        }
        by_wallet.compare(report, book).await?;
        paid_out.compare(report, book).await?;
        booked += by_report.compare(report, book).await?;
        booked += compare(report, book, &mut sums, &expected).await?;
    }
    of_wallets::check(report, book, paid).await?;
    paid_out.check(report, book, paid).await?;
    by_report.check(report, book, paid).await?;
    report.check(Law::LedgerAsPayments);
    if booked != of_payments {
        let detail = format!("has {of_payments} entries of payments, and {booked} of their facts");
        report.find(Law::LedgerAsPayments, "book", detail);
    }
    for (id, Sums { read, booked, .. }) in &sums {
        report.check(Law::LedgerAsPayments);
        if read != booked {
            let detail = format!("took {read} by its facts, and {booked} by the book");
            report.find(Law::LedgerAsPayments, format!("payment/{id}"), detail);
        }
    }
    as_told(report, paid, &sums).await
}

/// The facts that the ledger has set aside: shard and position.
async fn set_aside(book: &Database) -> anyhow::Result<BTreeSet<(u16, u64)>> {
    let letters = DeadLetters::new(book.clone());
    let letters = letters.all(Some(ENTRIES.name)).await?;
    Ok(letters.iter().map(|letter| (letter.shard, letter.position)).collect())
}

/// Adds what a fact says.
fn expect(
    report: &mut Report,
    sums: &mut BTreeMap<PaymentId, Sums>,
    expected: &mut Expected,
    (fact, is_read): (&Fact, bool),
) {
    let FactBody::Payment(body) = &fact.body else { return };
    let Some(payment) = payment_of(body) else { return };
    let sums = sums.entry(payment.payment_id).or_default();
    sums.told += i128::from(taken_by(body));
    if !is_read {
        return;
    }
    sums.read += i128::from(taken_by(body));
    match posting(body) {
        Ok(Some(posting)) => {
            expected.insert(posting.entry.id(), (payment.payment_id, posting.entry));
        }
        Ok(None) => {}
        Err(error) => {
            let detail = format!("{} was read, and cannot be booked: {error}", fact.id);
            let subject = format!("payment/{}", payment.payment_id);
            report.find(Law::LedgerAsPayments, subject, detail);
        }
    }
}

/// Looks for the entries; returns how many the book has as they must be.
async fn compare(
    report: &mut Report,
    book: &Database,
    sums: &mut BTreeMap<PaymentId, Sums>,
    expected: &Expected,
) -> anyhow::Result<u64> {
    let ids: BTreeSet<EntryId> = expected.keys().copied().collect();
    let found = entries_of(book, &ids).await?;
    let found: BTreeMap<EntryId, BookedEntry> =
        found.into_iter().map(|entry| (entry.id, entry)).collect();
    let mut booked = 0;
    for (id, (payment, entry)) in expected {
        report.check(Law::LedgerAsPayments);
        let wrong = match found.get(id) {
            None => "is missing",
            Some(found) if found.known.answer.is_err() => "was refused",
            Some(found) if found.known.fingerprint != entry.fingerprint() => "is another",
            Some(found) => {
                booked += 1;
                let moved: i128 = found.transfers.iter().map(moved).sum();
                sums.entry(*payment).or_default().booked += moved;
                continue;
            }
        };
        let detail = format!("entry {id} ({}) {wrong}", entry.reason());
        report.find(Law::LedgerAsPayments, format!("payment/{payment}"), detail);
    }
    Ok(booked)
}

/// By how much a transfer changes what is taken and not paid back.
fn moved(one: &Transfer) -> i128 {
    let credited = if is_of_takings(&one.credit) { one.amount } else { 0 };
    let debited = if is_of_takings(&one.debit) { one.amount } else { 0 };
    i128::from(credited) - i128::from(debited)
}

/// Each payment has taken what its facts say.
async fn as_told(
    report: &mut Report,
    paid: &Database,
    sums: &BTreeMap<PaymentId, Sums>,
) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let page = payment::store::cases_after(paid, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.order_id.to_string();
        for one in page.iter().flat_map(|case| &case.payments) {
            let taken = i128::from(one.captured()) - i128::from(one.refunded());
            let told = sums.get(&one.id).map_or(0, |sums| sums.told);
            if taken != told {
                let detail = format!("took {taken}, and {told} by its facts");
                report.find(Law::LedgerAsPayments, format!("payment/{}", one.id), detail);
            }
        }
    }
}
