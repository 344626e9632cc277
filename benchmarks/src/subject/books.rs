use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use ledger::domain::{AccountKind, Entry, Leg, Limit, NewAccount, Outcome};
use ledger::{Book as _, SqlBook, migrator};
use order_actor::clock::{Clock as _, SystemClock};
use shared_events::chance::Chance;
use shared_events::contract::{Currency, Money};
use shared_events::stream::{AskedBy, Database, Dialect};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lab::Lab;

/// Number of accounts.
pub const ACCOUNTS: usize = 10_000;
/// What each has, in pence; more than can be spent.
const FUNDS: i64 = 1_000_000_000_000;
/// What a transfer moves, in pence.
const AMOUNT: i64 = 100;
/// Connections of what is written by hand.
const CONNECTIONS: u32 = 32;
/// Entries and accounts under way while a book is prepared.
const PREPARED_TOGETHER: usize = 500;

/// How a contender calls an account.
pub fn wallet(account: usize) -> String {
    format!("wallet:{account}")
}

/// Which accounts a transfer touches.
#[derive(Clone, Copy, Debug)]
pub enum Picks {
    /// The n-th account 1/n times as often as the first.
    Zipf,
    /// One account pays, the others by Zipf.
    OneHot,
}

/// The accounts of one caller's transfers.
pub struct Pairs {
    chance: Chance,
    picks: Picks,
}

impl Picks {
    /// Those of this caller: the same in each run.
    pub fn pairs(self, caller: usize) -> Pairs {
        let seed = u64::try_from(caller).unwrap_or_default();
        Pairs { chance: Chance::seeded(seed), picks: self }
    }
}

impl Pairs {
    /// Who pays whom, by number; two different ones.
    pub fn next(&mut self) -> (usize, usize) {
        let from = match self.picks {
            Picks::Zipf => self.account(),
            Picks::OneHot => 0,
        };
        loop {
            let to = self.account();
            if to != from {
                return (from, to);
            }
        }
    }

    fn account(&self) -> usize {
        static SUMS: OnceLock<Vec<f64>> = OnceLock::new();
        let sums = SUMS.get_or_init(|| {
            let mut sum = 0.0;
            let weights = (1..=u32::try_from(ACCOUNTS).unwrap_or(u32::MAX)).map(f64::from);
            weights
                .map(|rank| {
                    sum += 1.0 / rank;
                    sum
                })
                .collect()
        });
        let all = sums.last().copied().unwrap_or_default();
        // 32 bits are exact as a float.
        let share = f64::from(u32::try_from(self.chance.bits() >> 32).unwrap_or_default());
        let at = share / f64::from(u32::MAX) * all;
        sums.partition_point(|sum| *sum < at).min(ACCOUNTS - 1)
    }
}

/// The ledger's book in this process, on Postgres.
#[derive(Clone)]
pub struct Ours {
    database: Database,
    book: SqlBook,
    url: String,
    stop: CancellationToken,
    running: Arc<JoinHandle<()>>,
    chance: Arc<Chance>,
}

fn gbp() -> anyhow::Result<Currency> {
    "GBP".parse().map_err(|error| anyhow::anyhow!("{error:?}"))
}

impl Ours {
    /// With all accounts and their funds.
    ///
    /// # Errors
    /// Where the book refuses them.
    pub async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let url = lab.database("ledger").await?;
        let database = Database::postgres(&url, "ledger", &migrator(Dialect::Postgres)).await?;
        let book = SqlBook::new(database.clone(), Arc::new(|| SystemClock.now()));
        let stop = CancellationToken::new();
        let running = Arc::new(tokio::spawn(book.clone().run(stop.clone())));
        let chance = Arc::new(Chance::system());
        let ours = Self { database, book, url, stop, running, chance };
        let names = ["bank".to_owned(), "shop".to_owned()].into_iter();
        let names: Vec<String> = names.chain((0..ACCOUNTS).map(wallet)).collect();
        let mut opened = futures::stream::iter(names)
            .map(|name| ours.account(name))
            .buffer_unordered(PREPARED_TOGETHER);
        while let Some(opened) = opened.next().await {
            opened?;
        }
        drop(opened);
        let mut funded = futures::stream::iter(0..ACCOUNTS)
            .map(|account| ours.book("bank".to_owned(), wallet(account), FUNDS))
            .buffer_unordered(PREPARED_TOGETHER);
        while let Some(funded) = funded.next().await {
            funded?;
        }
        drop(funded);
        Ok(ours)
    }

    async fn account(&self, name: String) -> anyhow::Result<()> {
        let (kind, limit) = match name.as_str() {
            "bank" => (AccountKind::Asset, Limit::None),
            _ => (AccountKind::Liability, Limit::DebitsWithinCredits),
        };
        let terms = NewAccount { name: name.parse()?, kind, currency: gbp()?, limit };
        self.book.open(terms, AskedBy::default(), String::new()).await?;
        Ok(())
    }

    async fn book(&self, debit: String, credit: String, minor: i64) -> anyhow::Result<()> {
        let amount = Money::new(minor, gbp()?);
        let leg = Leg::Transfer { debit: debit.parse()?, credit: credit.parse()?, amount };
        let bits = u128::from(self.chance.bits()) << 64 | u128::from(self.chance.bits());
        let id: Uuid = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let entry = Entry::new(id.into(), vec![leg], String::new());
        let entry = entry.map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
        match self.book.post(entry, AskedBy::default()).await?.outcome {
            Outcome::Booked { .. } => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// One transfer.
    ///
    /// # Errors
    /// Where it is not booked.
    pub async fn transfer(&self, from: usize, to: usize) -> anyhow::Result<()> {
        self.book(wallet(from), wallet(to), AMOUNT).await
    }

    /// Its database.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Ends it; the URL of its database, which stays.
    pub async fn shut(self) -> String {
        self.stop.cancel();
        if let Ok(running) = Arc::try_unwrap(self.running) {
            let _ = running.await;
        }
        self.database.close().await;
        self.url
    }

    /// Ends it and drops its database.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn close(self, lab: &Lab) -> anyhow::Result<()> {
        let url = self.shut().await;
        lab.drop_database(&url).await
    }
}

/// How a transfer is written by hand.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Read both accounts with a lock, decide, write.
    ForUpdate,
    /// Update where the funds suffice, without reading.
    Conditional,
    /// The same in one function of the database.
    Function,
}

const TABLES: &str = "
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, debit int NOT NULL, credit int NOT NULL,
    amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE entries (transfer bigint NOT NULL, account int NOT NULL, amount bigint NOT NULL, PRIMARY KEY (transfer, account));
CREATE FUNCTION transfer(debit_id int, credit_id int, moved bigint) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE made bigint; available bigint;
BEGIN
    PERFORM 1 FROM accounts WHERE id IN (debit_id, credit_id) ORDER BY id FOR UPDATE;
    SELECT balance INTO available FROM accounts WHERE id = debit_id;
    IF available < moved THEN RETURN false; END IF;
    INSERT INTO transfers (debit, credit, amount) VALUES (debit_id, credit_id, moved) RETURNING id INTO made;
    INSERT INTO entries VALUES (made, debit_id, -moved), (made, credit_id, moved);
    UPDATE accounts SET balance = balance - moved WHERE id = debit_id;
    UPDATE accounts SET balance = balance + moved WHERE id = credit_id;
    RETURN true;
END $$";

/// What one would write by hand.
#[derive(Clone)]
pub struct Naive {
    pool: PgPool,
    url: String,
}

impl Naive {
    /// With all accounts and their funds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let url = lab.database("by_hand").await?;
        let pool = PgPoolOptions::new()
            .min_connections(CONNECTIONS)
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(120))
            // Waiting for a connection is part of what is measured.
            .acquire_slow_threshold(Duration::from_secs(120))
            .connect(&url)
            .await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        sqlx::query("INSERT INTO accounts SELECT n, $1 FROM generate_series(0, $2::int - 1) AS n")
            .bind(FUNDS)
            .bind(i32::try_from(ACCOUNTS)?)
            .execute(&pool)
            .await?;
        Ok(Self { pool, url })
    }

    /// One transfer.
    ///
    /// # Errors
    /// Where it is not stored.
    pub async fn transfer(&self, way: Way, from: usize, to: usize) -> anyhow::Result<()> {
        let (from, to) = (i32::try_from(from)?, i32::try_from(to)?);
        let done = match way {
            Way::ForUpdate => self.for_update(from, to).await?,
            Way::Conditional => self.conditional(from, to).await?,
            Way::Function => {
                sqlx::query_scalar("SELECT transfer($1, $2, $3)")
                    .bind(from)
                    .bind(to)
                    .bind(AMOUNT)
                    .fetch_one(&self.pool)
                    .await?
            }
        };
        anyhow::ensure!(done, "account {from} has too little");
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "what one would write instead")]
    async fn for_update(&self, from: i32, to: i32) -> anyhow::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let both = "SELECT id, balance FROM accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE";
        let both: Vec<(i32, i64)> =
            sqlx::query_as(both).bind(from).bind(to).fetch_all(&mut *tx).await?;
        let payer = both.iter().find(|(id, _)| *id == from).context("no such account")?;
        if payer.1 < AMOUNT {
            return Ok(false);
        }
        written(&mut tx, from, to).await?;
        for (account, moved) in [(from, -AMOUNT), (to, AMOUNT)] {
            sqlx::query("UPDATE accounts SET balance = balance + $2 WHERE id = $1")
                .bind(account)
                .bind(moved)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    #[expect(clippy::disallowed_methods, reason = "what one would write instead")]
    async fn conditional(&self, from: i32, to: i32) -> anyhow::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let mut moves = [(from, -AMOUNT), (to, AMOUNT)];
        // In one order, so that two transactions never wait for each other.
        moves.sort_unstable();
        for (account, moved) in moves {
            let update =
                "UPDATE accounts SET balance = balance + $2 WHERE id = $1 AND balance + $2 >= 0";
            let updated = sqlx::query(update).bind(account).bind(moved).execute(&mut *tx).await?;
            if updated.rows_affected() != 1 {
                return Ok(false);
            }
        }
        written(&mut tx, from, to).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends it and drops its database.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn close(self, lab: &Lab) -> anyhow::Result<()> {
        self.pool.close().await;
        lab.drop_database(&self.url).await
    }
}

/// The transfer and its entries.
async fn written(
    tx: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    from: i32,
    to: i32,
) -> anyhow::Result<()> {
    let insert = "INSERT INTO transfers (debit, credit, amount) VALUES ($1, $2, $3) RETURNING id";
    let id: i64 =
        sqlx::query_scalar(insert).bind(from).bind(to).bind(AMOUNT).fetch_one(&mut **tx).await?;
    sqlx::query("INSERT INTO entries VALUES ($1, $2, -$4), ($1, $3, $4)")
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(AMOUNT)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_account_is_picked_twice_as_often_as_the_second() {
        let mut pairs = Picks::Zipf.pairs(1);
        let mut counts = vec![0_u32; ACCOUNTS];
        for _ in 0..200_000 {
            counts[pairs.next().0] += 1;
        }
        // 1 / H(10,000) = 0.102.
        assert!((19_000..22_000).contains(&counts[0]), "{}", counts[0]);
        assert!((9_200..11_300).contains(&counts[1]), "{}", counts[1]);
        assert_eq!(Picks::OneHot.pairs(1).next().0, 0);
    }
}
