use std::collections::BTreeMap;

use ledger::domain::{
    Account, AccountKind, AccountName, BookPart, Entry, EntryId, GENESIS, Head, Hold, HoldId,
    KnownEntry, Leg, Limit, NewAccount, Opened, Outcome, Receipt, Refusal, Sums, Transfer,
    TransferKind,
};
use shared_events::contract::{Money, Timestamp};
use uuid::Uuid;

/// A whole book in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    pub head: Head,
    pub accounts: BTreeMap<AccountName, Account>,
    pub holds: BTreeMap<HoldId, Hold>,
    pub known: BTreeMap<EntryId, KnownEntry>,
    pub transfers: Vec<Transfer>,
}

impl Book {
    pub fn new() -> Self {
        let at = Timestamp::default();
        Self {
            head: Head { position: 0, hash: GENESIS, at, accounts: 0 },
            accounts: BTreeMap::new(),
            holds: BTreeMap::new(),
            known: BTreeMap::new(),
            transfers: Vec::new(),
        }
    }

    pub fn part(&self) -> BookPart {
        let known = self.known.iter().map(|(id, known)| (*id, known.clone()));
        BookPart::new(
            self.head,
            self.accounts.values().cloned(),
            self.holds.values().cloned(),
            known,
        )
    }

    /// Writes what a part changed, as the store does.
    pub fn write(&mut self, part: &BookPart) {
        self.head = *part.head();
        for account in part.opened().chain(part.changed()) {
            self.accounts.insert(account.terms.name.clone(), account.clone());
        }
        for hold in part.changed_holds() {
            self.holds.insert(hold.id, hold.clone());
        }
        for (id, known) in part.answered() {
            assert!(self.known.insert(id, known.clone()).is_none(), "an answer never changes");
        }
        self.transfers.extend(part.transfers().iter().cloned());
    }

    pub fn open(&mut self, name: &str, kind: AccountKind, currency: &str, limit: Limit) -> Opened {
        let mut part = self.part();
        let terms =
            NewAccount { name: self::name(name), kind, currency: currency.parse().unwrap(), limit };
        let opened = part.open(&terms, at(0));
        self.write(&part);
        opened
    }

    pub fn book(&mut self, entry: &Entry, now: Timestamp) -> Outcome {
        let mut part = self.part();
        part.expire(now);
        let outcome = part.book(entry, now);
        self.write(&part);
        outcome
    }

    pub fn post(&mut self, id: u128, legs: Vec<Leg>) -> Outcome {
        self.book(&entry(id, legs), at(0))
    }

    /// Debits posted, credits posted, debits held, credits held.
    pub fn sums(&self, account: &str) -> [i64; 4] {
        let Sums { debits_posted, credits_posted, debits_held, credits_held } =
            self.accounts[&name(account)].sums;
        [debits_posted, credits_posted, debits_held, credits_held]
    }
}

pub fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

pub fn id(number: u128) -> EntryId {
    EntryId::from(Uuid::from_u128(0x4000_8000_0000_0000_0000 + number))
}

pub fn entry(number: u128, legs: Vec<Leg>) -> Entry {
    Entry::new(id(number), legs, String::new()).unwrap()
}

pub fn transfer(debit: &str, credit: &str, amount: Money) -> Leg {
    Leg::Transfer { debit: name(debit), credit: name(credit), amount }
}

pub fn hold(debit: &str, credit: &str, amount: Money, seconds: Option<u32>) -> Leg {
    Leg::Hold { debit: name(debit), credit: name(credit), amount, seconds }
}

pub fn receipt(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Booked { receipt, .. } => *receipt,
        other => panic!("not booked: {other:?}"),
    }
}

pub fn refusal(outcome: &Outcome) -> Refusal {
    match outcome {
        Outcome::Refused { refusal, .. } => refusal.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

/// A shop with money: a wallet of 100.00 pounds, paid in by a bank without a limit.
pub fn shop() -> Book {
    let mut book = Book::new();
    book.open("bank", AccountKind::Asset, "GBP", Limit::None);
    book.open("wallet:anna", AccountKind::Liability, "GBP", Limit::DebitsWithinCredits);
    book.open("seller:acme", AccountKind::Liability, "GBP", Limit::None);
    book.open("fees", AccountKind::Income, "GBP", Limit::None);
    let paid_in = book.post(1, vec![transfer("bank", "wallet:anna", gbp(10_000))]);
    assert_eq!(receipt(&paid_in).first, 1);
    book
}

/// The reckoning of this test, apart from the one of the book: every sum at every position.
pub fn reckon(transfers: &[Transfer]) -> BTreeMap<AccountName, [i128; 4]> {
    let mut sums: BTreeMap<AccountName, [i128; 4]> = BTreeMap::new();
    let mut held: BTreeMap<HoldId, i128> = BTreeMap::new();
    for one in transfers {
        let amount = i128::from(one.amount);
        let reserved = match one.kind {
            TransferKind::Posted => 0,
            TransferKind::Held => {
                held.insert(one.hold.unwrap(), amount);
                amount
            }
            _ => -held.remove(&one.hold.unwrap()).unwrap(),
        };
        let moved = match one.kind {
            TransferKind::Posted | TransferKind::HoldPosted => amount,
            _ => 0,
        };
        for (account, posted, pending, after) in
            [(&one.debit, 0, 2, &one.debit_after), (&one.credit, 1, 3, &one.credit_after)]
        {
            let sums = sums.entry(account.clone()).or_default();
            sums[posted] += moved;
            sums[pending] += reserved;
            let Sums { debits_posted, credits_posted, debits_held, credits_held } = *after;
            let told = [debits_posted, credits_posted, debits_held, credits_held];
            assert_eq!(told.map(i128::from), *sums, "{account} at {}", one.position);
        }
    }
    sums
}
