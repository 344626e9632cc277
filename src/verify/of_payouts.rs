//! Whether the book has what payouts to sellers say, and holds nothing else for them.

use std::collections::{BTreeMap, BTreeSet};

use ledger::domain::{ChartAccount, EntryId, Hold, HoldId, HoldState, Transfer, TransferKind};
use ledger::store::{self, BookedEntry};
use payment::domain::{BookStep, Payout, PayoutState};
use payment::store::PayoutFilter;
use shared_events::contract::{Fact, FactBody, Money, PayoutFact, PayoutHeader, PayoutId};
use shared_events::stream::Database;

use super::report::{Law, Report};
use crate::engine::payouts::{accounts_of, beginning_of, entry_of};

/// Rows that are read together.
const PAGE: u32 = 500;

/// What became of a payout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    Sent,
    Paid,
    /// It was not paid.
    Returned,
    /// It was paid before.
    CameBack,
}

/// What is to be found in the book, a page of facts at a time, and what was told last of each payout.
#[derive(Default)]
pub(super) struct Expected {
    said: Vec<(PayoutHeader, Became)>,
    told: BTreeMap<PayoutId, (Money, Became)>,
}

impl Expected {
    /// Adds what a fact says. Where the ledger has read it, the book had it by then.
    pub(super) fn expect(&mut self, fact: &Fact, is_read: bool) {
        let FactBody::Payout(body) = &fact.body else { return };
        let became = match body {
            PayoutFact::Sent { .. } => Became::Sent,
            PayoutFact::Paid { .. } => Became::Paid,
            PayoutFact::Returned { was_paid: false, .. } => Became::Returned,
            PayoutFact::Returned { was_paid: true, .. } => Became::CameBack,
        };
        let payout = body.payout();
        self.told.insert(payout.payout_id, (payout.amount, became));
        if is_read {
            self.said.push((payout.clone(), became));
        }
    }

    /// Looks for the holds and entries of this page, and forgets them.
    pub(super) async fn compare(
        &mut self,
        report: &mut Report,
        book: &Database,
    ) -> anyhow::Result<()> {
        let said = std::mem::take(&mut self.said);
        if said.is_empty() {
            return Ok(());
        }
        let holds: BTreeSet<HoldId> =
            said.iter().map(|(payout, _)| payout.payout_id.uuid().into()).collect();
        let holds = store::holds_of(book, &holds).await?;
        let holds: BTreeMap<HoldId, Hold> = holds.into_iter().map(|hold| (hold.id, hold)).collect();
        let mirrors: BTreeSet<EntryId> =
            said.iter().map(|(payout, _)| mirror_of(payout.payout_id)).collect();
        let mirrors = store::entries_of(book, &mirrors).await?;
        let mirrors: BTreeMap<EntryId, BookedEntry> =
            mirrors.into_iter().map(|entry| (entry.id, entry)).collect();
        for (payout, became) in &said {
            report.check(Law::PayoutsAsBooked);
            let id = payout.payout_id;
            let mirror = mirrors.get(&mirror_of(id)).map(|entry| entry.transfers.as_slice());
            let hold = holds.get(&HoldId::from(id.uuid()));
            if let Some(wrong) = wrong((payout, *became), hold, mirror.unwrap_or_default()) {
                report.find(Law::PayoutsAsBooked, format!("payout/{id}"), wrong);
            }
        }
        Ok(())
    }

    /// Each payout is where its facts say, and what is held for payouts belongs to one. The snapshot
    /// of the book is the older one: a payout is stored before its hold is.
    pub(super) async fn check(
        mut self,
        report: &mut Report,
        book: &Database,
        paid: &Database,
    ) -> anyhow::Result<()> {
        let mut filter = PayoutFilter::default();
        loop {
            let page = payment::store::payouts(paid, &filter, PAGE).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.payout.id);
            for row in &page {
                report.check(Law::PayoutsAsBooked);
                if !is_as_told(&row.payout, self.told.remove(&row.payout.id)) {
                    let detail = format!("is {}, and its facts say otherwise", row.payout.state);
                    report.find(Law::PayoutsAsBooked, format!("payout/{}", row.payout.id), detail);
                }
            }
        }
        for id in self.told.keys() {
            let detail = "is told by facts, and is not there";
            report.find(Law::PayoutsAsBooked, format!("payout/{id}"), detail);
        }
        all_held(report, book, paid).await
    }
}

/// The entry that gives back what was paid.
fn mirror_of(payout: PayoutId) -> EntryId {
    entry_of(payout, BookStep::Mirror).into()
}

/// What is wrong with the hold of a payout, and with the entry that gave it back.
fn wrong(
    (payout, became): (&PayoutHeader, Became),
    hold: Option<&Hold>,
    mirror: &[Transfer],
) -> Option<&'static str> {
    let minor = payout.amount.minor;
    let Ok((seller, cash)) = accounts_of(&payout.seller, payout.amount.currency) else {
        return Some("is to a seller who can have no account");
    };
    let Some(hold) = hold else { return Some("has no hold in the book") };
    if (&hold.debit, &hold.credit, hold.amount) != (&seller.name, &cash.name, minor) {
        return Some("has another hold in the book");
    }
    let is_posted = hold.state == HoldState::Posted && hold.posted == minor;
    match (became, mirror) {
        (Became::Sent, _) => None,
        (Became::Returned, _) => {
            (hold.state != HoldState::Voided).then_some("was not paid, and its hold is not voided")
        }
        (Became::Paid | Became::CameBack, _) if !is_posted => {
            Some("was paid, and its hold is not posted")
        }
        (Became::Paid, _) => None,
        (Became::CameBack, [back])
            if back.kind == TransferKind::Posted
                && back.amount == minor
                && (&back.debit, &back.credit) == (&cash.name, &seller.name) =>
        {
            None
        }
        (Became::CameBack, []) => Some("came back, and the book has not given it back"),
        (Became::CameBack, _) => Some("came back, and the book has another entry for it"),
    }
}

/// Whether a payout is where the last fact about it says.
fn is_as_told(payout: &Payout, told: Option<(Money, Became)>) -> bool {
    use PayoutState::{Collected, Collecting, Paid, Refused, Returned, Settling, Stuck, Submitted};
    let was_paid = payout.paid_at.is_some();
    let Some((amount, became)) = told else {
        return matches!(payout.state, Collecting | Refused);
    };
    let is_there = match became {
        Became::Sent => {
            !was_paid && matches!(payout.state, Collected | Submitted | Settling | Stuck)
        }
        Became::Paid => was_paid && matches!(payout.state, Paid | Settling | Stuck),
        Became::Returned => !was_paid && payout.state == Returned,
        Became::CameBack => was_paid && payout.state == Returned,
    };
    is_there && amount == payout.amount
}

/// What the book holds for payouts.
async fn all_held(report: &mut Report, book: &Database, paid: &Database) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let page = store::holds_held(book, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id.to_string();
        let holds: BTreeMap<EntryId, &Hold> = page
            .iter()
            .filter(|hold| is_to_cash(hold))
            .map(|hold| (hold.id.uuid().into(), hold))
            .collect();
        if holds.is_empty() {
            continue;
        }
        // Somebody may hold of a seller by hand: what payouts hold says so.
        for entry in store::entries_of(book, &holds.keys().copied().collect()).await? {
            let id = PayoutId::from_uuid(entry.id.uuid());
            if let Some(hold) = holds.get(&entry.id)
                && entry.reason.starts_with(&beginning_of(id))
            {
                held(report, paid, (id, hold)).await?;
            }
        }
    }
}

/// Whether a hold is from a seller's account to the shop's cash.
fn is_to_cash(hold: &Hold) -> bool {
    let cash = ChartAccount::Cash.terms(hold.currency);
    hold.debit.as_str().starts_with("seller:") && cash.is_ok_and(|cash| cash.name == hold.credit)
}

/// What is held belongs to a payout of this amount that was not refused.
async fn held(
    report: &mut Report,
    paid: &Database,
    (id, hold): (PayoutId, &Hold),
) -> anyhow::Result<()> {
    report.check(Law::PayoutsAsBooked);
    let row = payment::store::payout(paid, id).await?;
    let wrong = match row.map(|row| row.payout) {
        None => "is held for no payout",
        Some(one) if one.state == PayoutState::Refused => "is held for a payout that was refused",
        Some(one) if one.amount != Money::new(hold.amount, hold.currency) => {
            "is held for a payout of another amount"
        }
        Some(_) => return Ok(()),
    };
    let detail = format!("{} {wrong}", hold.debit);
    report.find(Law::PayoutsAsBooked, format!("hold/{}", hold.id), detail);
    Ok(())
}
