//! Whether wallets have what payments by wallet did, and hold nothing else for them.

use std::collections::{BTreeMap, BTreeSet};

use ledger::domain::{
    AccountName, ChartAccount, EntryId, Hold, HoldId, HoldState, Transfer, TransferKind, wallet_of,
};
use ledger::store::{self, BookedEntry};
use payment::domain::{Case, OperationKind, OperationState, Stage};
use payment::store::OperationRow;
use shared_events::contract::{
    Currency, Fact, FactBody, Money, OperationId, OrderId, PaymentFact, PaymentId, PspName,
};
use shared_events::stream::Database;

use super::report::{Law, Report};
use crate::engine::wallets::NAME;

/// Rows that are read together.
const PAGE: u32 = 500;

/// What payments say was done with a wallet. The entry has the operation's id.
struct Said {
    operation: EntryId,
    payment: PaymentId,
    kind: TransferKind,
    amount: Money,
}

/// What is to be found in the book, a page of facts at a time.
#[derive(Default)]
pub(super) struct Expected {
    said: Vec<Said>,
    /// Holds that were given back, and whose.
    given_back: BTreeMap<HoldId, PaymentId>,
    /// The wallets that each payment held money of, of all pages: one, but where an order was lost
    /// and placed again by somebody else.
    wallets: BTreeMap<PaymentId, BTreeSet<AccountName>>,
}

impl Expected {
    /// Adds what a fact says that the ledger has read: by then its wallet had done it.
    pub(super) fn expect(&mut self, fact: &Fact) {
        let FactBody::Payment(body) = &fact.body else { return };
        let (payment, kind) = match body {
            PaymentFact::Authorized { payment, .. } => (payment, Some(TransferKind::Held)),
            PaymentFact::Captured { payment, .. } => (payment, Some(TransferKind::HoldPosted)),
            PaymentFact::Refunded { payment, .. } => (payment, Some(TransferKind::Posted)),
            PaymentFact::Voided { payment } => (payment, None),
            _ => return,
        };
        if payment.psp.as_str() != NAME {
            return;
        }
        let (operation, amount) = (payment.operation_id.uuid(), payment.amount);
        let payment = payment.payment_id;
        if let Some(kind) = kind {
            self.said.push(Said { operation: operation.into(), payment, kind, amount });
        } else {
            // It names the authorisation, whose id the hold has.
            self.given_back.insert(operation.into(), payment);
        }
    }

    /// Looks for the entries and holds of this page, and forgets them.
    pub(super) async fn compare(
        &mut self,
        report: &mut Report,
        book: &Database,
    ) -> anyhow::Result<()> {
        let said = std::mem::take(&mut self.said);
        if !said.is_empty() {
            let ids: BTreeSet<EntryId> = said.iter().map(|one| one.operation).collect();
            let found = store::entries_of(book, &ids).await?;
            let found: BTreeMap<EntryId, BookedEntry> =
                found.into_iter().map(|entry| (entry.id, entry)).collect();
            for one in &said {
                report.check(Law::WalletsAsPayments);
                let transfers = found.get(&one.operation).map(|entry| entry.transfers.as_slice());
                let Some(wrong) = self.wrong(one, transfers.unwrap_or_default()) else { continue };
                let detail = format!("operation {} by wallet {wrong}", one.operation);
                report.find(Law::WalletsAsPayments, format!("payment/{}", one.payment), detail);
            }
        }
        self.compare_holds(report, book).await
    }

    /// What is wrong with the transfers of an operation.
    fn wrong(&mut self, said: &Said, transfers: &[Transfer]) -> Option<&'static str> {
        let one = match transfers {
            [] => return Some("is not in the book"),
            [one] if (one.kind, one.amount) == (said.kind, said.amount.minor) => one,
            _ => return Some("is another in the book"),
        };
        if one.currency != said.amount.currency {
            return Some("is in another currency");
        }
        let (wallet, other) = match one.kind {
            TransferKind::Posted => (&one.credit, &one.debit),
            _ => (&one.debit, &one.credit),
        };
        if wallet_of(wallet).is_none() {
            return Some("is of no wallet");
        }
        if receivable(one.currency).as_ref() != Some(other) {
            return Some("is not booked against what wallets owe the shop");
        }
        let wallets = self.wallets.entry(said.payment).or_default();
        if one.kind == TransferKind::Held {
            wallets.insert(wallet.clone());
        }
        (!wallets.contains(wallet)).then_some("is of a wallet of which nothing was held for it")
    }

    async fn compare_holds(&mut self, report: &mut Report, book: &Database) -> anyhow::Result<()> {
        let given_back = std::mem::take(&mut self.given_back);
        if given_back.is_empty() {
            return Ok(());
        }
        report.check_many(
            Law::WalletsAsPayments,
            u64::try_from(given_back.len()).unwrap_or(u64::MAX),
        );
        let ids: BTreeSet<HoldId> = given_back.keys().copied().collect();
        for hold in store::holds_of(book, &ids).await? {
            if let Some(payment) = given_back.get(&hold.id)
                && hold.state == HoldState::Held
            {
                let detail = format!("{} was given back and holds still", hold.id);
                report.find(Law::WalletsAsPayments, format!("payment/{payment}"), detail);
            }
        }
        Ok(())
    }
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
        let holds: Vec<&Hold> = page.iter().filter(|hold| is_for_payments(hold)).collect();
        if !holds.is_empty() {
            held(report, paid, &holds).await?;
        }
    }
}

/// What wallets hold belongs to authorisations that were not declined.
async fn held(report: &mut Report, paid: &Database, holds: &[&Hold]) -> anyhow::Result<()> {
    let ids: BTreeSet<OperationId> =
        holds.iter().map(|hold| OperationId::from_uuid(hold.id.uuid())).collect();
    let rows = payment::store::operations_of(paid, &ids).await?;
    let rows: BTreeMap<OperationId, OperationRow> =
        rows.into_iter().map(|row| (row.id, row)).collect();
    let over = rows.values().filter(|row| row.schedule.stage == Stage::Done);
    let orders: BTreeSet<OrderId> = over.map(|row| row.order_id).collect();
    let cases = payment::store::cases_of(paid, &orders).await?;
    let cases: BTreeMap<OrderId, Case> =
        cases.into_iter().map(|case| (case.order_id, case)).collect();
    for hold in holds {
        report.check(Law::WalletsAsPayments);
        let made = rows.get(&OperationId::from_uuid(hold.id.uuid()));
        let made =
            made.filter(|one| one.kind == OperationKind::Authorize && one.psp.as_str() == NAME);
        let wrong = match made {
            None => "is held for no payment",
            Some(row) if cases.get(&row.order_id).is_some_and(|case| declined(case, row.id)) => {
                "is held for a payment that was declined"
            }
            Some(_) => continue,
        };
        let detail = format!("{} {wrong}", hold.debit);
        report.find(Law::WalletsAsPayments, format!("hold/{}", hold.id), detail);
    }
    Ok(())
}

/// Whether an authorisation was declined for another reason than that its hold had ended: that may
/// be since the snapshot of the book.
fn declined(case: &Case, id: OperationId) -> bool {
    let Some((_, one)) = case.operation(id) else { return false };
    let ended = ["canceled", "authorization_expired"].contains(&one.code.as_str());
    one.state == OperationState::Declined && !ended
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
    wallet_of(&hold.debit).is_some() && receivable(hold.currency).as_ref() == Some(&hold.credit)
}

/// The account of what wallets owe the shop.
fn receivable(currency: Currency) -> Option<AccountName> {
    let psp: PspName = NAME.parse().ok()?;
    Some(ChartAccount::PspReceivable(&psp).terms(currency).ok()?.name)
}
