//! What one would write instead of a ledger, and which accounts are touched.

use sqlx::PgPool;
use uuid::Uuid;

/// Which accounts transfers touch: the same for every contender.
pub struct Accounts {
    what: &'static str,
    count: usize,
    /// The sum of the weights of the accounts up to each one.
    weights: Vec<u64>,
    hot: bool,
}

impl Accounts {
    /// The n-th account is touched in proportion to 1/n.
    pub fn zipf(count: u64) -> Self {
        Self::new("accounts by Zipf's law (1.0)", count, false)
    }

    /// One of the two is always the first.
    pub fn hot(count: u64) -> Self {
        Self::new("one account in every transfer", count, true)
    }

    fn new(what: &'static str, count: u64, hot: bool) -> Self {
        let weights = (1..=count).scan(0, |sum, nth| {
            *sum += 1_000_000_000 / nth;
            Some(*sum)
        });
        let weights: Vec<u64> = weights.collect();
        Self { what, count: weights.len(), weights, hot }
    }

    /// In words.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The accounts of a caller's n-th transfer: debited, credited.
    pub fn pair(&self, caller: usize, nth: u64) -> (usize, usize) {
        let place = (caller as u64) << 40 | nth;
        let (one, other) = (self.draw(place * 2), self.draw(place * 2 + 1));
        let one = if self.hot { 0 } else { one };
        let other = if one == other { (other + 1) % self.count } else { other };
        if nth % 2 == 0 { (one, other) } else { (other, one) }
    }

    fn draw(&self, seed: u64) -> usize {
        let most = self.weights.last().copied().unwrap_or(1);
        let drawn = mixed(seed) % most;
        self.weights.partition_point(|sum| *sum <= drawn)
    }
}

/// SplitMix64: evenly spread, and the same every time.
const fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A way to book without a ledger.
#[derive(Clone, Copy)]
pub enum Contender {
    /// Both accounts are locked and read first.
    Locked,
    /// Two updates whose condition is the limit.
    Conditional,
    /// One function in the database.
    Function,
}

impl Contender {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 3] = [Self::Locked, Self::Conditional, Self::Function];

    /// In the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Locked => "(a) SELECT … FOR UPDATE",
            Self::Conditional => "(b) conditional UPDATEs",
            Self::Function => "(c) PL/pgSQL function",
        }
    }
}

pub const TABLES: &str = "
CREATE TABLE accounts (
    id bigint PRIMARY KEY, debits bigint NOT NULL, credits bigint NOT NULL,
    CHECK (debits <= credits)
);
CREATE TABLE transfers (
    id uuid PRIMARY KEY, debit bigint NOT NULL, credit bigint NOT NULL, amount bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION book(of uuid, debited bigint, credited bigint, moved bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE found accounts;
BEGIN
    PERFORM 1 FROM accounts WHERE id IN (debited, credited) ORDER BY id FOR UPDATE;
    SELECT * INTO found FROM accounts WHERE id = debited;
    IF found.debits + moved > found.credits THEN RETURN false; END IF;
    INSERT INTO transfers VALUES (of, debited, credited, moved);
    UPDATE accounts SET debits = debits + moved WHERE id = debited;
    UPDATE accounts SET credits = credits + moved WHERE id = credited;
    RETURN true;
END $$;";

/// Books one unit.
///
/// # Errors
/// Where the database fails, or an account has not enough.
pub async fn book(
    pool: &PgPool,
    contender: Contender,
    (debit, credit): (i64, i64),
) -> anyhow::Result<()> {
    let id = Uuid::now_v7();
    match contender {
        Contender::Locked => locked(pool, id, (debit, credit)).await,
        Contender::Conditional => conditional(pool, id, (debit, credit)).await,
        Contender::Function => {
            let booked: bool = sqlx::query_scalar("SELECT book($1, $2, $3, 1)")
                .bind(id)
                .bind(debit)
                .bind(credit)
                .fetch_one(pool)
                .await?;
            anyhow::ensure!(booked, "{debit} has not enough");
            Ok(())
        }
    }
}

const INSERT: &str = "INSERT INTO transfers VALUES ($1, $2, $3, 1)";
const DEBIT: &str =
    "UPDATE accounts SET debits = debits + 1 WHERE id = $1 AND debits + 1 <= credits";
const CREDIT: &str = "UPDATE accounts SET credits = credits + 1 WHERE id = $1";

#[expect(clippy::disallowed_methods, reason = "what one would write instead")]
async fn locked(pool: &PgPool, id: Uuid, (debit, credit): (i64, i64)) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    let mut enough = false;
    for account in [debit.min(credit), debit.max(credit)] {
        let sql = "SELECT debits, credits FROM accounts WHERE id = $1 FOR UPDATE";
        let (debits, credits): (i64, i64) =
            sqlx::query_as(sql).bind(account).fetch_one(&mut *tx).await?;
        enough |= account == debit && debits < credits;
    }
    anyhow::ensure!(enough, "{debit} has not enough");
    sqlx::query(INSERT).bind(id).bind(debit).bind(credit).execute(&mut *tx).await?;
    sqlx::query(DEBIT).bind(debit).execute(&mut *tx).await?;
    sqlx::query(CREDIT).bind(credit).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// In the order of the ids, so that two never wait for each other.
#[expect(clippy::disallowed_methods, reason = "what one would write instead")]
async fn conditional(pool: &PgPool, id: Uuid, (debit, credit): (i64, i64)) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    let mut steps = [(debit, DEBIT), (credit, CREDIT)];
    steps.sort_by_key(|(account, _)| *account);
    for (account, sql) in steps {
        let updated = sqlx::query(sql).bind(account).execute(&mut *tx).await?;
        anyhow::ensure!(updated.rows_affected() == 1, "{debit} has not enough");
    }
    sqlx::query(INSERT).bind(id).bind(debit).bind(credit).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
