//! Whether the book has what providers say they paid out, and suspense is what nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use ledger::domain::{ChartAccount, Entry, EntryId};
use ledger::posting::{line_of, posting, unknown_by};
use ledger::store::{self, BookedEntry};
use payment::domain::LineState;
use payment::store::{LineFilter, settlement_lines};
use shared_events::contract::{Currency, Fact, FactBody, PspName};
use shared_events::stream::Database;

use super::report::{Law, Report};

/// Lines that are read together.
const PAGE: u32 = 500;

/// What nobody knows what it is for, by provider and currency, in minor units.
type Unknown = BTreeMap<(PspName, Currency), i128>;

/// What is to be found in the book, a page of facts at a time.
#[derive(Default)]
pub(super) struct Expected {
    /// Entries, and whose lines they are of.
    entries: BTreeMap<EntryId, (String, Entry)>,
    /// By the facts that the ledger has read and not set aside.
    read: Unknown,
    /// By all facts.
    told: Unknown,
}

impl Expected {
    /// Adds what a fact says.
    pub(super) fn expect(&mut self, report: &mut Report, fact: &Fact, is_read: bool) {
        let FactBody::Payment(body) = &fact.body else { return };
        let Some(line) = line_of(body) else { return };
        let of = (line.psp.clone(), line.gross.currency);
        *self.told.entry(of.clone()).or_default() += unknown_by(body);
        if !is_read {
            return;
        }
        *self.read.entry(of).or_default() += unknown_by(body);
        let subject = format!("settlement/{}/{}", line.psp, line.psp_line);
        match posting(body) {
            Ok(Some(posting)) => {
                self.entries.insert(posting.entry.id(), (subject, posting.entry));
            }
            Ok(None) => {}
            Err(error) => {
                let detail = format!("{} was read, and cannot be booked: {error}", fact.id);
                report.find(Law::SettlementSums, subject, detail);
            }
        }
    }

    /// Looks for the entries of this page, and forgets them; returns how many the book has as they
    /// must be.
    pub(super) async fn compare(
        &mut self,
        report: &mut Report,
        book: &Database,
    ) -> anyhow::Result<u64> {
        let expected = std::mem::take(&mut self.entries);
        if expected.is_empty() {
            return Ok(0);
        }
        let ids: BTreeSet<EntryId> = expected.keys().copied().collect();
        let found = store::entries_of(book, &ids).await?;
        let found: BTreeMap<EntryId, BookedEntry> =
            found.into_iter().map(|entry| (entry.id, entry)).collect();
        let mut booked = 0;
        for (id, (subject, entry)) in expected {
            report.check(Law::SettlementSums);
            let wrong = match found.get(&id) {
                None => "is missing",
                Some(found) if found.known.answer.is_err() => "was refused",
                Some(found) if found.known.fingerprint != entry.fingerprint() => "is another",
                Some(_) => {
                    booked += 1;
                    continue;
                }
            };
            let detail = format!("entry {id} ({}) {wrong}", entry.reason());
            report.find(Law::SettlementSums, subject, detail);
        }
        Ok(booked)
    }

    /// Suspense is what the facts that were read left there, and what all facts say is what the
    /// lines are of which nobody knows.
    pub(super) async fn check(
        mut self,
        report: &mut Report,
        book: &Database,
        paid: &Database,
    ) -> anyhow::Result<()> {
        let listed = listed(paid).await?;
        for of in listed.keys() {
            self.told.entry(of.clone()).or_default();
        }
        for ((psp, currency), told) in self.told {
            report.check(Law::SettlementSums);
            let of = (psp, currency);
            let (read, lines) = (self.read.get(&of), listed.get(&of));
            let (read, lines) =
                (read.copied().unwrap_or_default(), lines.copied().unwrap_or_default());
            let account = ChartAccount::Suspense(&of.0).terms(currency)?.name;
            let subject = format!("account/{account}");
            if told != lines {
                let detail = format!("lines leave {lines} that nobody knows, and facts {told}");
                report.find(Law::SettlementSums, &subject, detail);
            }
            let found = store::account(book, &account).await?;
            let has = found.map_or(0, |found| found.sums.balance(found.terms.kind));
            if i128::from(has) != read {
                let detail = format!("has {has}, and {read} by the facts of lines");
                report.find(Law::SettlementSums, &subject, detail);
            }
        }
        Ok(())
    }
}

/// What the lines say of which nobody knows what they are for.
async fn listed(paid: &Database) -> anyhow::Result<Unknown> {
    let mut sums = Unknown::new();
    let mut filter = LineFilter { state: Some(LineState::Unknown), ..LineFilter::default() };
    loop {
        let page = settlement_lines(paid, &filter, PAGE).await?;
        let Some(last) = page.last() else { return Ok(sums) };
        filter.after = Some((last.psp.to_string(), last.said.name.clone()));
        for line in &page {
            let of = (line.psp.clone(), line.said.gross.currency);
            *sums.entry(of).or_default() += i128::from(line.said.gross.minor);
        }
    }
}
