use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::Timestamp;

use super::{
    Account, AccountName, Entry, EntryId, Hash, Hold, HoldId, HoldState, KnownEntry, NewAccount,
    Opened, Outcome, Sums, Transfer, TransferKind,
};

/// Where the book ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The position of the last transfer; 0 for none.
    pub position: u64,
    /// The hash of the chain up to it.
    pub hash: Hash,
    /// When it was booked.
    pub at: Timestamp,
    /// How many accounts were opened.
    pub accounts: i64,
}

/// The part of the book that a batch touches: read once, decided upon in memory, written once.
#[derive(Clone, Debug)]
pub struct BookPart {
    pub(super) head: Head,
    pub(super) accounts: BTreeMap<AccountName, Account>,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    known: BTreeMap<EntryId, KnownEntry>,
    /// What is new, to be written.
    pub(super) transfers: Vec<Transfer>,
    opened: BTreeSet<AccountName>,
    pub(super) changed: BTreeSet<AccountName>,
    pub(super) changed_holds: BTreeSet<HoldId>,
    answered: Vec<EntryId>,
}

/// The state before an entry, of what its legs changed.
#[derive(Default)]
pub(super) struct Undo {
    pub(super) accounts: Vec<(AccountName, Sums, u64)>,
    pub(super) holds: Vec<(HoldId, Option<Hold>)>,
}

impl BookPart {
    /// The part with these rows.
    #[must_use]
    pub fn new(
        head: Head,
        accounts: impl IntoIterator<Item = Account>,
        holds: impl IntoIterator<Item = Hold>,
        known: impl IntoIterator<Item = (EntryId, KnownEntry)>,
    ) -> Self {
        let named = |account: Account| (account.terms.name.clone(), account);
        Self {
            head,
            accounts: accounts.into_iter().map(named).collect(),
            holds: holds.into_iter().map(|hold| (hold.id, hold)).collect(),
            known: known.into_iter().collect(),
            transfers: Vec::new(),
            opened: BTreeSet::new(),
            changed: BTreeSet::new(),
            changed_holds: BTreeSet::new(),
            answered: Vec::new(),
        }
    }

    /// Where the book ends.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The transfers that are new.
    #[must_use]
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// An account of this part.
    #[must_use]
    pub fn account(&self, name: &AccountName) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// A hold of this part.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// The accounts that were opened.
    pub fn opened(&self) -> impl Iterator<Item = &Account> {
        self.opened.iter().filter_map(|name| self.accounts.get(name))
    }

    /// The accounts whose sums changed, but for those that were opened.
    pub fn changed(&self) -> impl Iterator<Item = &Account> {
        let changed = self.changed.iter().filter(|name| !self.opened.contains(*name));
        changed.filter_map(|name| self.accounts.get(name))
    }

    /// The holds that were made or ended.
    pub fn changed_holds(&self) -> impl Iterator<Item = &Hold> {
        self.changed_holds.iter().filter_map(|id| self.holds.get(id))
    }

    /// The entries that have an answer now and had none before.
    pub fn answered(&self) -> impl Iterator<Item = (EntryId, &KnownEntry)> {
        self.answered.iter().filter_map(|id| Some((*id, self.known.get(id)?)))
    }

    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.answered.is_empty() && self.opened.is_empty()
    }

    /// Opens an account.
    pub fn open(&mut self, terms: &NewAccount, now: Timestamp) -> Opened {
        if let Some(account) = self.accounts.get(&terms.name) {
            let account = account.clone();
            return if account.terms == *terms {
                Opened::Open { account, exists: true }
            } else {
                Opened::OtherTerms { account }
            };
        }
        self.head.accounts += 1;
        let account = Account {
            number: self.head.accounts,
            terms: terms.clone(),
            sums: Sums::default(),
            position: 0,
            opened_at: now,
        };
        self.accounts.insert(terms.name.clone(), account.clone());
        self.opened.insert(terms.name.clone());
        Opened::Open { account, exists: false }
    }

    /// Books an entry: all of its legs or none. An id that has an answer keeps it.
    pub fn book(&mut self, entry: &Entry, now: Timestamp) -> Outcome {
        let fingerprint = entry.fingerprint();
        if let Some(known) = self.known.get(&entry.id()) {
            return match &known.answer {
                _ if known.fingerprint != fingerprint => Outcome::OtherContent,
                Ok(receipt) => Outcome::Booked { receipt: *receipt, exists: true },
                Err(refusal) => Outcome::Refused { refusal: refusal.clone(), exists: true },
            };
        }
        let (head, first, at) = (self.head, self.transfers.len(), self.head.at.max(now));
        let mut undo = Undo::default();
        let mut booked = Ok(());
        for (leg, nth) in entry.legs().iter().zip(0_u16..) {
            booked = self.leg(entry, leg, nth, at, &mut undo);
            if booked.is_err() {
                break;
            }
        }
        let answer = match booked {
            Ok(()) => Ok(self.chain(first, &fingerprint, head)),
            Err(refusal) => {
                self.transfers.truncate(first);
                self.head = head;
                for (name, sums, position) in undo.accounts.into_iter().rev() {
                    if let Some(account) = self.accounts.get_mut(&name) {
                        (account.sums, account.position) = (sums, position);
                    }
                }
                for (id, hold) in undo.holds.into_iter().rev() {
                    match hold {
                        Some(hold) => drop(self.holds.insert(id, hold)),
                        None => drop(self.holds.remove(&id)),
                    }
                }
                Err(refusal)
            }
        };
        self.known.insert(entry.id(), KnownEntry { fingerprint, answer: answer.clone() });
        self.answered.push(entry.id());
        match answer {
            Ok(receipt) => Outcome::Booked { receipt, exists: false },
            Err(refusal) => Outcome::Refused { refusal, exists: false },
        }
    }

    /// Ends the holds of this part whose time is over, each by an entry of its own.
    pub fn expire(&mut self, now: Timestamp) {
        let is_due = |hold: &&Hold| {
            hold.state == HoldState::Held && hold.expires_at.is_some_and(|due| due <= now)
        };
        let due: Vec<HoldId> = self.holds.values().filter(is_due).map(|hold| hold.id).collect();
        for id in due {
            // It has no content but its id, from which its own is made.
            let (entry, fingerprint) =
                (id.expiry(), *blake3::hash(id.uuid().as_bytes()).as_bytes());
            let (head, first, at) = (self.head, self.transfers.len(), self.head.at.max(now));
            let kind = TransferKind::HoldExpired;
            let ended = self.end(id, (entry, 0), kind, None, at, &mut Undo::default());
            // A hold can always be released: its amount is in the sums.
            if ended.is_ok() {
                let receipt = self.chain(first, &fingerprint, head);
                self.known.insert(entry, KnownEntry { fingerprint, answer: Ok(receipt) });
                self.answered.push(entry);
            }
        }
    }
}
