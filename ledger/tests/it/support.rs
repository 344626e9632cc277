//! A ledger on a database of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ledger::domain::{
    AccountKind, AccountName, Entry, EntryId, Leg, Limit, NewAccount, Opened, Outcome, Receipt,
};
use ledger::{
    Book as _, BookAudit, BookError, Ledger, PaymentFollower, Posted, SqlBook, audit, migrator,
    store,
};
use shared_events::chance::Chance;
use shared_events::contract::{Money, Timestamp};
use shared_events::stream::{AskedBy, Database, Dialect};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub struct Bench {
    pub database: Database,
    pub book: SqlBook,
    pub clock: Arc<AtomicI64>,
    pub schema: String,
    folder: Option<Arc<tempfile::TempDir>>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Bench {
    pub async fn on(dialect: Dialect) -> Self {
        let schema = format!("t_{}", Chance::system().uuid().simple());
        let folder = match dialect {
            Dialect::Sqlite => Some(Arc::new(tempfile::tempdir().unwrap())),
            Dialect::Postgres => None,
        };
        Self::opened(schema, folder).await
    }

    async fn opened(schema: String, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let database = match &folder {
            Some(folder) => {
                let path = folder.path().join("ledger.db");
                Database::sqlite(&path, &migrator(Dialect::Sqlite)).await.unwrap()
            }
            None => {
                let url = std::env::var("ORDINAL_TEST_POSTGRES").expect(
                    "ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one",
                );
                Database::postgres(&url, &schema, &migrator(Dialect::Postgres)).await.unwrap()
            }
        };
        let clock = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&clock);
        let now = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
        let book = SqlBook::new(database.clone(), now);
        let stop = CancellationToken::new();
        let running = shared_events::stream::spawn(book.clone().run(stop.clone()));
        Self { database, book, clock, schema, folder, stop, running }
    }

    /// A follower of payments over the same database.
    pub fn follower(&self) -> PaymentFollower {
        let told = Arc::clone(&self.clock);
        let now = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
        Ledger::new(self.database.clone(), now).follower()
    }

    /// A second process over the same database.
    pub async fn beside(&self) -> Self {
        Self::opened(self.schema.clone(), self.folder.clone()).await
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
        self.database.close().await;
    }

    pub async fn open(&self, name: &str, kind: AccountKind, currency: &str, limit: Limit) {
        let currency = currency.parse().unwrap();
        let terms = NewAccount { name: self::name(name), kind, currency, limit };
        let opened = self.book.open(terms, by(), String::new()).await.unwrap();
        assert!(matches!(opened, Opened::Open { .. }), "{opened:?}");
    }

    /// A bank without a limit, ten wallets of 100.00 pounds each, a seller and fees.
    pub async fn shop(&self) {
        self.open("bank", AccountKind::Asset, "GBP", Limit::None).await;
        self.open("seller", AccountKind::Liability, "GBP", Limit::None).await;
        self.open("fees", AccountKind::Income, "GBP", Limit::None).await;
        for nth in 0..10_u128 {
            let wallet = format!("wallet:{nth}");
            let limit = Limit::DebitsWithinCredits;
            self.open(&wallet, AccountKind::Liability, "GBP", limit).await;
            self.post(9_000 + nth, vec![transfer("bank", &wallet, 10_000)]).await;
        }
    }

    pub async fn ask(&self, id: u128, legs: Vec<Leg>) -> Result<Posted, BookError> {
        self.book.post(entry(id, legs), by()).await
    }

    pub async fn post(&self, id: u128, legs: Vec<Leg>) -> Receipt {
        match self.ask(id, legs).await.unwrap().outcome {
            Outcome::Booked { receipt, .. } => receipt,
            other => panic!("not booked: {other:?}"),
        }
    }

    pub async fn balance(&self, account: &str) -> i64 {
        let account = store::account(&self.database, &name(account)).await.unwrap().unwrap();
        account.sums.balance(account.terms.kind)
    }

    pub async fn laws_hold(&self) -> BookAudit {
        let found = audit(&self.database).await.unwrap();
        assert_eq!(found.findings, []);
        found
    }
}

pub fn by() -> AskedBy {
    AskedBy { role: "SERVICE".to_owned(), subject: "checkout".to_owned() }
}

pub fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

pub fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

pub fn id(number: u128) -> EntryId {
    EntryId::from(Uuid::from_u128(0x4000_8000_0000_0000_0000 + number))
}

pub fn entry(number: u128, legs: Vec<Leg>) -> Entry {
    Entry::new(id(number), legs, "for a test".to_owned()).unwrap()
}

pub fn transfer(debit: &str, credit: &str, minor: i64) -> Leg {
    Leg::Transfer { debit: name(debit), credit: name(credit), amount: gbp(minor) }
}

pub fn hold(debit: &str, credit: &str, minor: i64, seconds: Option<u32>) -> Leg {
    Leg::Hold { debit: name(debit), credit: name(credit), amount: gbp(minor), seconds }
}
