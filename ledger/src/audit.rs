//! Whether the book is as its laws say: every transfer from the first on, reckoned anew.
//! Never here: repair, or a write.

use std::collections::BTreeMap;

use shared_events::contract::{Currency, Timestamp};
use shared_events::stream::{Database, DatabaseError};

use crate::domain::{
    Account, AccountName, GENESIS, Hash, Hold, HoldId, HoldState, KnownEntry, Side, Sums, Transfer,
    TransferKind,
};
use crate::follower::ASKED_BY_PAYMENTS;
use crate::store::{self, BookedEntry};

/// Findings that are kept at most.
pub const FINDINGS_MAX: usize = 1_000;
const PAGE: u32 = 5_000;

/// A law of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BookLaw {
    /// Transfers have positions without a gap, in one hash chain that ends where the book says.
    Chain,
    /// Each entry has all its legs, each between two accounts of one currency; debits are credits.
    Balanced,
    /// The sums of each account, now and beside each transfer, are what the transfers add up to.
    Balances,
    /// No account was beyond its limit, at any position.
    Limits,
    /// Each hold is as the transfers say that made and ended it.
    Holds,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookFinding {
    /// The law that it breaks.
    pub law: BookLaw,
    /// What it is about, such as `account/bank`.
    pub subject: String,
    /// The difference.
    pub detail: String,
}

/// What was checked, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookAudit {
    /// Transfers read.
    pub transfers: u64,
    /// Accounts compared.
    pub accounts: u64,
    /// Holds compared.
    pub holds: u64,
    /// Entries that were booked because of facts of payments.
    pub of_payments: u64,
    /// Differences, the first [`FINDINGS_MAX`].
    pub findings: Vec<BookFinding>,
}

/// Checks the whole book.
///
/// # Errors
/// [`DatabaseError`] where it cannot be read; a difference is a finding, not an error.
pub async fn audit(database: &Database) -> Result<BookAudit, DatabaseError> {
    let mut all = Reckoning::default();
    let head = store::head(database).await?;
    let mut after = String::new();
    loop {
        let page = store::accounts(database, "", &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        last.terms.name.as_str().clone_into(&mut after);
        for account in page {
            let known = Reckoned { account, sums: Sums::default(), position: 0 };
            all.accounts.insert(known.account.terms.name.clone(), known);
        }
    }
    let mut entries = Entries { page: Vec::new().into_iter(), after: 0 };
    loop {
        let page = store::transfers_after(database, all.position, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for one in &page {
            if all.legs_left == 0 {
                let next = entries.next(database).await?;
                all.begin(next, one);
            }
            all.transfer(one);
        }
    }
    if all.legs_left > 0 {
        all.find(BookLaw::Balanced, all.of_entry(), format!("{} legs are missing", all.legs_left));
    }
    if let Some(more) = entries.next(database).await? {
        let subject = format!("entry/{}", more.id);
        all.find(BookLaw::Balanced, subject, "its transfers are missing".to_owned());
    }
    if (head.position, head.hash, head.at) != (all.position, all.hash, all.at) {
        let detail = format!(
            "the book ends at {} ({}), its transfers at {} ({})",
            head.position, head.at, all.position, all.at
        );
        all.find(BookLaw::Chain, "book".to_owned(), detail);
    }
    if i64::try_from(all.accounts.len()) != Ok(head.accounts) {
        let detail =
            format!("the book has {} accounts and knows {}", all.accounts.len(), head.accounts);
        all.find(BookLaw::Chain, "book".to_owned(), detail);
    }
    all.accounts();
    all.compare_holds(database).await?;
    Ok(all.audit)
}

/// Booked entries in order, a page at a time.
struct Entries {
    page: std::vec::IntoIter<BookedEntry>,
    after: u64,
}

impl Entries {
    async fn next(&mut self, database: &Database) -> Result<Option<BookedEntry>, DatabaseError> {
        if self.page.len() == 0 {
            self.page = store::entries_after(database, self.after, PAGE).await?.into_iter();
        }
        let next = self.page.next();
        if let Some(BookedEntry { known: KnownEntry { answer: Ok(receipt), .. }, .. }) = &next {
            self.after = receipt.first;
        }
        Ok(next)
    }
}

struct Reckoned {
    account: Account,
    sums: Sums,
    position: u64,
}

#[derive(Default)]
struct Reckoning {
    audit: BookAudit,
    accounts: BTreeMap<AccountName, Reckoned>,
    holds: BTreeMap<HoldId, Hold>,
    position: u64,
    hash: Hash,
    at: Timestamp,
    /// The entry being read: its id, and legs that are still to come.
    entry: Option<BookedEntry>,
    legs_left: u64,
}

impl Reckoning {
    fn find(&mut self, law: BookLaw, subject: String, detail: String) {
        if self.audit.findings.len() < FINDINGS_MAX {
            self.audit.findings.push(BookFinding { law, subject, detail });
        }
    }

    fn of_entry(&self) -> String {
        self.entry.as_ref().map_or("book".to_owned(), |entry| format!("entry/{}", entry.id))
    }

    /// The entry of a first leg.
    fn begin(&mut self, entry: Option<BookedEntry>, first: &Transfer) {
        self.legs_left = 1;
        if entry.as_ref().is_some_and(|entry| entry.asked_by == ASKED_BY_PAYMENTS) {
            self.audit.of_payments += 1;
        }
        let receipt = entry.as_ref().and_then(|entry| entry.known.answer.as_ref().ok());
        match (receipt, &entry) {
            (Some(receipt), Some(booked))
                if (receipt.first, booked.id) == (first.position, first.entry) =>
            {
                self.legs_left = receipt.legs.into();
            }
            _ => {
                let detail =
                    format!("position {} is of an entry that is not there", first.position);
                self.find(BookLaw::Balanced, format!("entry/{}", first.entry), detail);
            }
        }
        self.entry = entry;
    }

    fn transfer(&mut self, one: &Transfer) {
        self.audit.transfers += 1;
        self.legs_left = self.legs_left.saturating_sub(1);
        let subject = format!("transfer/{}", one.position);
        if one.position != self.position + 1 || one.at < self.at {
            let detail = format!("follows {} of {}", self.position, self.at);
            self.find(BookLaw::Chain, subject.clone(), detail);
        }
        let fingerprint = self.entry.as_ref().map_or(GENESIS, |entry| entry.known.fingerprint);
        if one.chained(&self.hash, &fingerprint) != one.hash {
            let detail = "its hash is not of its content after the one before".to_owned();
            self.find(BookLaw::Chain, subject.clone(), detail);
        }
        (self.position, self.hash, self.at) = (one.position, one.hash, one.at);
        if self.entry.as_ref().is_none_or(|entry| entry.id != one.entry) {
            let detail = format!("is of entry {}", one.entry);
            self.find(BookLaw::Balanced, subject.clone(), detail);
        }
        let held = self.hold(one, &subject);
        let sides = [
            (Side::Debit, &one.debit, one.debit_after),
            (Side::Credit, &one.credit, one.credit_after),
        ];
        let mut currencies: Vec<Currency> = Vec::new();
        for (side, name, told) in sides {
            let Some(known) = self.accounts.get_mut(name) else {
                let detail = format!("of an account that is not there: {name}");
                self.find(BookLaw::Balanced, subject.clone(), detail);
                continue;
            };
            currencies.push(known.account.terms.currency);
            let limit = known.account.terms.limit;
            let after = known.sums.after(side, one.kind, one.amount, held);
            known.sums = after.unwrap_or(told);
            known.position = one.position;
            if after != Some(told) {
                let detail = format!("the sums of {name} beside it are not those of all before it");
                self.find(BookLaw::Balances, subject.clone(), detail);
            }
            if after.is_some_and(|after| !after.within(limit)) {
                let detail = format!("{name} is beyond its limit {}", limit.code());
                self.find(BookLaw::Limits, subject.clone(), detail);
            }
        }
        if one.debit == one.credit || currencies.windows(2).any(|pair| pair[0] != pair[1]) {
            let detail = "is not between two accounts of one currency".to_owned();
            self.find(BookLaw::Balanced, subject, detail);
        }
    }

    /// What a transfer does to its hold; returns the amount of the hold that it ends.
    fn hold(&mut self, one: &Transfer, subject: &str) -> i64 {
        let (state, posted) = match one.kind {
            TransferKind::Posted => return 0,
            TransferKind::Held => (HoldState::Held, 0),
            TransferKind::HoldPosted => (HoldState::Posted, one.amount),
            TransferKind::HoldVoided => (HoldState::Voided, 0),
            TransferKind::HoldExpired => (HoldState::Expired, 0),
        };
        let Some(id) = one.hold else {
            self.find(BookLaw::Holds, subject.to_owned(), "names no hold".to_owned());
            return 0;
        };
        let Some(before) = self.holds.get_mut(&id) else {
            let (debit, credit) = (one.debit.clone(), one.credit.clone());
            let (amount, currency, made) = (one.amount, one.currency, one.position);
            let expires_at = one.expires_at;
            let ended = None;
            let hold = Hold {
                id,
                debit,
                credit,
                amount,
                currency,
                state,
                posted,
                expires_at,
                made,
                ended,
            };
            self.holds.insert(id, hold);
            if state != HoldState::Held {
                let detail = format!("ends hold {id}, which was not made before");
                self.find(BookLaw::Holds, subject.to_owned(), detail);
            }
            return 0;
        };
        let fits = state != HoldState::Held
            && before.state == HoldState::Held
            && one.amount <= before.amount
            && (&one.debit, &one.credit) == (&before.debit, &before.credit);
        (before.state, before.posted, before.ended) = (state, posted, Some(one.position));
        let held = before.amount;
        if !fits {
            let detail = format!("does not fit hold {id}");
            self.find(BookLaw::Holds, subject.to_owned(), detail);
        }
        held
    }

    fn accounts(&mut self) {
        let accounts = std::mem::take(&mut self.accounts);
        let mut totals: BTreeMap<Currency, [i128; 4]> = BTreeMap::new();
        for (name, Reckoned { account, sums, position }) in &accounts {
            self.audit.accounts += 1;
            let Sums { debits_posted, credits_posted, debits_held, credits_held } = account.sums;
            let total = totals.entry(account.terms.currency).or_default();
            for (total, sum) in
                total.iter_mut().zip([debits_posted, credits_posted, debits_held, credits_held])
            {
                *total += i128::from(sum);
            }
            if (account.sums, account.position) != (*sums, *position) {
                let detail = format!("has {:?}, its transfers add up to {sums:?}", account.sums);
                self.find(BookLaw::Balances, format!("account/{name}"), detail);
            }
            if !account.sums.within(account.terms.limit) {
                let detail = format!("is beyond its limit {}", account.terms.limit.code());
                self.find(BookLaw::Limits, format!("account/{name}"), detail);
            }
        }
        for (currency, [debits, credits, debits_held, credits_held]) in totals {
            if debits != credits || debits_held != credits_held {
                let detail = format!(
                    "debits {debits} + {debits_held} held, credits {credits} + {credits_held} held"
                );
                self.find(BookLaw::Balanced, format!("currency/{currency}"), detail);
            }
        }
    }

    async fn compare_holds(&mut self, database: &Database) -> Result<(), DatabaseError> {
        let mut after = String::new();
        loop {
            let page = store::holds_after(database, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for hold in page {
                self.audit.holds += 1;
                if self.holds.remove(&hold.id).as_ref() != Some(&hold) {
                    let detail = "is not as its transfers say".to_owned();
                    self.find(BookLaw::Holds, format!("hold/{}", hold.id), detail);
                }
            }
        }
        for id in std::mem::take(&mut self.holds).into_keys() {
            let detail = "is missing, but its transfers are there".to_owned();
            self.find(BookLaw::Holds, format!("hold/{id}"), detail);
        }
        Ok(())
    }
}
