use shared_events::contract::{Currency, PspName, Seller, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{instant, number, optional_instant, word};
use crate::domain::RunState;

/// A run of payouts: which sellers are gone through, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRun {
    /// Its id, chosen by whoever asked for it.
    pub id: Uuid,
    /// Only this seller.
    pub seller: Option<Seller>,
    /// Only in this currency.
    pub currency: Option<Currency>,
    /// Who pays.
    pub psp: PspName,
    /// Where it is.
    pub state: RunState,
    /// The seller and currency that was gone through last.
    pub after: Option<(Seller, Currency)>,
    /// Payouts that it has made.
    pub payouts: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When all sellers were gone through.
    pub ended_at: Option<Timestamp>,
    /// When it goes on.
    pub due_at: Timestamp,
    /// How often in a row it came to nothing.
    pub tries: u32,
    /// Why, the last time.
    pub note: String,
    /// How often somebody took it up.
    pub claim: i64,
}

impl PayoutRun {
    /// One of all sellers that begins now.
    #[must_use]
    pub const fn new(id: Uuid, psp: PspName, now: Timestamp) -> Self {
        Self {
            id,
            seller: None,
            currency: None,
            psp,
            state: RunState::Running,
            after: None,
            payouts: 0,
            started_at: now,
            ended_at: None,
            due_at: now,
            tries: 0,
            note: String::new(),
            claim: 0,
        }
    }

    /// Whether the same was asked for.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        (self.id, &self.seller, self.currency) == (other.id, &other.seller, other.currency)
    }
}

/// A seller who owes more than they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Who.
    pub seller: Seller,
    /// In which currency.
    pub currency: Currency,
    /// How much, in minor units.
    pub owed: i64,
    /// Since when that is known.
    pub since: Timestamp,
}

const ROW: &str =
    "SELECT run_id, seller, currency, psp, state, after_seller, after_currency, payouts,
                          started_at, ended_at, due_at, tries, note, claim FROM payout_runs";

fn seller(text: &str) -> Result<Seller, DatabaseError> {
    text.parse().map_err(|_| DatabaseError::Corrupt("seller"))
}

fn currency(text: &str) -> Result<Currency, DatabaseError> {
    Currency::recorded(text).map_err(|_| DatabaseError::Corrupt("currency"))
}

fn row_of(row: &AnyRow) -> Result<PayoutRun, DatabaseError> {
    let text = |column: usize| row.try_get::<Option<String>, _>(column);
    let state: String = row.try_get(4)?;
    let after = match text(5)?.zip(text(6)?) {
        Some((of, code)) => Some((seller(&of)?, currency(&code)?)),
        None => None,
    };
    Ok(PayoutRun {
        id: word(row, 0, "id of a run")?,
        seller: text(1)?.as_deref().map(seller).transpose()?,
        currency: text(2)?.as_deref().map(currency).transpose()?,
        psp: word(row, 3, "provider of a run")?,
        state: RunState::of_code(&state).ok_or(DatabaseError::Corrupt("state of a run"))?,
        after,
        payouts: number(row, 7, "payouts of a run")?,
        started_at: instant(row, 8)?,
        ended_at: optional_instant(row, 9)?,
        due_at: instant(row, 10)?,
        tries: number(row, 11, "tries of a run")?,
        note: row.try_get(12)?,
        claim: row.try_get(13)?,
    })
}

/// Begins a run; or not, where one with its id is there.
pub(crate) async fn add_run(tx: &mut Tx, one: &PayoutRun) -> Result<bool, DatabaseError> {
    let sql = "INSERT INTO payout_runs (run_id, seller, currency, psp, state, payouts, started_at,
                   due_at, tries, note, claim)
               VALUES ($1, $2, $3, $4, $5, 0, $6, $7, 0, '', 0)
               ON CONFLICT (run_id) DO NOTHING";
    let query = sqlx::query(sql).bind(one.id.to_string());
    let query = query.bind(one.seller.as_ref().map(ToString::to_string));
    let query = query.bind(one.currency.map(|currency| currency.code().to_owned()));
    let query = query.bind(one.psp.to_string()).bind(one.state.code());
    let query = query.bind(one.started_at.micros()).bind(one.due_at.micros());
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// The run with this id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payout_run(database: &Database, id: Uuid) -> Result<Option<PayoutRun>, DatabaseError> {
    let sql = format!("{ROW} WHERE run_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// Runs that go on by now, the longest due first.
pub(crate) async fn runs_due(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<PayoutRun>, DatabaseError> {
    let sql = format!("{ROW} WHERE state = 'RUNNING' AND due_at <= $1 ORDER BY due_at LIMIT $2");
    let query = sqlx::query(&sql).bind(now.micros()).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Writes how far a run has come that is still as it was read, and takes it up once more; returns
/// whether it was. It stays with whoever did until it is due.
pub(crate) async fn claim_run(tx: &mut Tx, next: &PayoutRun) -> Result<bool, DatabaseError> {
    let sql = "UPDATE payout_runs SET state = $2, after_seller = $3, after_currency = $4,
                      payouts = $5, ended_at = $6, due_at = $7, tries = $8, note = $9,
                      claim = claim + 1
               WHERE run_id = $1 AND claim = $10";
    let (of, code) = next.after.clone().unzip();
    let query = sqlx::query(sql).bind(next.id.to_string()).bind(next.state.code());
    let query = query.bind(of.map(|seller| seller.to_string()));
    let query = query.bind(code.map(|currency| currency.code().to_owned()));
    let query = query.bind(i64::try_from(next.payouts).unwrap_or(i64::MAX));
    let query = query.bind(next.ended_at.map(Timestamp::micros)).bind(next.due_at.micros());
    let query = query.bind(i64::from(next.tries)).bind(next.note.clone()).bind(next.claim);
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// The next seller, and currency, of which payments know, in the order of the database. Each is one
/// look into an index, however many payments they have.
pub(crate) async fn next_seller(
    database: &Database,
    (of, code): (&str, &str),
) -> Result<Option<(Seller, Currency)>, DatabaseError> {
    let sql = "SELECT seller, currency FROM payments
               WHERE seller IS NOT NULL AND (seller, currency) > ($1, $2)
               ORDER BY seller, currency LIMIT 1";
    let query = sqlx::query(sql).bind(of.to_owned()).bind(code.to_owned());
    let Some(row) = query.fetch_optional(database.reader()).await? else { return Ok(None) };
    let (of, code): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some((seller(&of)?, currency(&code)?)))
}

/// How much a seller is known to owe, where that is more than they may.
pub(crate) async fn owed_by(
    database: &Database,
    (of, code): (&Seller, Currency),
) -> Result<Option<i64>, DatabaseError> {
    let sql = "SELECT owed FROM payout_debts WHERE seller = $1 AND currency = $2";
    let query = sqlx::query_scalar(sql).bind(of.to_string()).bind(code.code());
    Ok(query.fetch_optional(database.reader()).await?)
}

/// Keeps that a seller owes so much, or, where that is none, that they owe no more than they may.
/// Returns whether that is news.
pub(crate) async fn note_debt(
    tx: &mut Tx,
    (of, code): (&Seller, Currency),
    owed: Option<i64>,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let Some(owed) = owed else {
        let sql = "DELETE FROM payout_debts WHERE seller = $1 AND currency = $2";
        let query = sqlx::query(sql).bind(of.to_string()).bind(code.code());
        return Ok(query.execute(&mut **tx).await?.rows_affected() > 0);
    };
    let sql = "UPDATE payout_debts SET owed = $3 WHERE seller = $1 AND currency = $2";
    let query = sqlx::query(sql).bind(of.to_string()).bind(code.code()).bind(owed);
    if query.execute(&mut **tx).await?.rows_affected() > 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO payout_debts (seller, currency, owed, since) VALUES ($1, $2, $3, $4)
               ON CONFLICT (seller, currency) DO NOTHING";
    let query = sqlx::query(sql).bind(of.to_string()).bind(code.code()).bind(owed);
    Ok(query.bind(now.micros()).execute(&mut **tx).await?.rows_affected() > 0)
}

/// Those who owe more than they may, the longest first, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn debts(database: &Database, limit: u32) -> Result<Vec<Debt>, DatabaseError> {
    let sql = "SELECT seller, currency, owed, since FROM payout_debts
               ORDER BY since, seller, currency LIMIT $1";
    let rows = sqlx::query(sql).bind(i64::from(limit)).fetch_all(database.reader()).await?;
    let debt = |row: &AnyRow| {
        let (of, code): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (seller, currency) = (seller(&of)?, currency(&code)?);
        Ok(Debt { seller, currency, owed: row.try_get(2)?, since: instant(row, 3)? })
    };
    rows.iter().map(debt).collect()
}
