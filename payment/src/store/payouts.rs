use std::time::Duration;

use psp::PspReference;
use shared_events::contract::{Currency, Money, PayoutId, PspName, Seller, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{COUNTED, instant, number, optional_instant, word};
use crate::domain::{CameBack, Payout, PayoutState, Schedule, Settles, Stage};

/// A payout that was made so long ago and never called may have been called all the same, by
/// payments of which this is an older copy.
const CALLED_WITHIN: Duration = Duration::from_secs(3_600);

/// A payout, and what is next for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRow {
    /// The payout.
    pub payout: Payout,
    /// What is next.
    pub schedule: Schedule,
    /// How often somebody took it up.
    pub claim: i64,
    /// When something last changed.
    pub updated_at: Timestamp,
}

impl PayoutRow {
    /// Whether it was made so long ago that it must have been called, and is not known to have been.
    #[must_use]
    pub(crate) fn may_be_forgotten(&self, now: Timestamp) -> bool {
        self.schedule.first_call.is_none() && now >= self.payout.made_at.plus(CALLED_WITHIN)
    }
}

/// Which payouts. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayoutFilter {
    /// To this seller.
    pub seller: Option<Seller>,
    /// In this currency.
    pub currency: Option<Currency>,
    /// In this state.
    pub state: Option<PayoutState>,
    /// Of this run.
    pub run: Option<Uuid>,
    /// After this one, by id.
    pub after: Option<PayoutId>,
}

const ROW: &str = "SELECT payout_id, run_id, seller, currency, amount, psp, state, settles, code,
                          reference, made_at, paid_at, returned_at, restored_at, updated_at, stage,
                          due_at, generation, calls, questions, first_call, last_call, note, claim
                   FROM payouts";

/// A column of payouts that names one of a closed list.
fn one_of<T>(
    row: &AnyRow,
    column: usize,
    of_code: impl Fn(&str) -> Option<T>,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let code: String = row.try_get(column)?;
    of_code(&code).ok_or(DatabaseError::Corrupt(what))
}

fn currency(row: &AnyRow, column: usize) -> Result<Currency, DatabaseError> {
    let text: String = row.try_get(column)?;
    Currency::recorded(&text).map_err(|_| DatabaseError::Corrupt("currency of a payout"))
}

fn row_of(row: &AnyRow) -> Result<PayoutRow, DatabaseError> {
    let settles: Option<String> = row.try_get(7)?;
    let settled =
        |code: String| Settles::of_code(&code).ok_or(DatabaseError::Corrupt("outcome of a payout"));
    let payout = Payout {
        id: word(row, 0, "id of a payout")?,
        run_id: word(row, 1, "run of a payout")?,
        seller: word(row, 2, "seller of a payout")?,
        psp: word(row, 5, "provider of a payout")?,
        amount: Money::new(row.try_get(4)?, currency(row, 3)?),
        state: one_of(row, 6, PayoutState::of_code, "state of a payout")?,
        settles: settles.map(settled).transpose()?,
        code: row.try_get(8)?,
        reference: row.try_get(9)?,
        made_at: instant(row, 10)?,
        paid_at: optional_instant(row, 11)?,
        returned_at: optional_instant(row, 12)?,
        restored_at: optional_instant(row, 13)?,
    };
    let schedule = Schedule {
        stage: one_of(row, 15, Stage::of_code, "stage of a payout")?,
        due_at: instant(row, 16)?,
        generation: number(row, 17, "generation of a payout")?,
        calls: number(row, 18, "calls of a payout")?,
        questions: number(row, 19, "questions of a payout")?,
        first_call: optional_instant(row, 20)?,
        last_call: optional_instant(row, 21)?,
        note: row.try_get(22)?,
    };
    let (claim, updated_at) = (row.try_get(23)?, instant(row, 14)?);
    Ok(PayoutRow { payout, schedule, claim, updated_at })
}

/// Adds a payout that is to be counted; or not, where it is there already, or another one counts
/// what this seller has.
pub(crate) async fn add_payout(tx: &mut Tx, one: &PayoutRow) -> Result<bool, DatabaseError> {
    let sql = "INSERT INTO payouts (payout_id, run_id, seller, currency, amount, psp, state, code,
                   made_at, updated_at, stage, due_at, generation, calls, questions, note, claim)
               VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $8, $9, $10, 0, 0, 0, '', 0)
               ON CONFLICT DO NOTHING";
    let Payout { id, run_id, seller, psp, amount, state, made_at, .. } = &one.payout;
    let query = sqlx::query(sql).bind(id.to_string()).bind(run_id.to_string());
    let query = query.bind(seller.to_string()).bind(amount.currency.code()).bind(amount.minor);
    let query = query.bind(psp.to_string()).bind(state.code()).bind(made_at.micros());
    let query = query.bind(one.schedule.stage.code()).bind(one.schedule.due_at.micros());
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// Takes a payout up as it was read; or not, where somebody else has.
pub(crate) async fn claim_payout(
    tx: &mut Tx,
    read: &PayoutRow,
    next: &Schedule,
) -> Result<bool, DatabaseError> {
    let sql = "UPDATE payouts SET stage = $2, due_at = $3, generation = $4, calls = $5,
                      questions = $6, first_call = $7, last_call = $8, note = $9, claim = claim + 1
               WHERE payout_id = $1 AND claim = $10";
    let query = scheduled(sqlx::query(sql).bind(read.payout.id.to_string()), next);
    Ok(query.bind(read.claim).execute(&mut **tx).await?.rows_affected() == 1)
}

type Query<'a> = sqlx::query::Query<'a, sqlx::Any, <sqlx::Any as sqlx::Database>::Arguments<'a>>;

fn scheduled<'a>(query: Query<'a>, next: &Schedule) -> Query<'a> {
    let query = query.bind(next.stage.code()).bind(next.due_at.micros());
    let query = query.bind(i64::from(next.generation)).bind(i64::from(next.calls));
    let query = query.bind(i64::from(next.questions));
    let query = query.bind(next.first_call.map(Timestamp::micros));
    query.bind(next.last_call.map(Timestamp::micros)).bind(next.note.clone())
}

/// Writes what became of a payout that is locked, and what is next.
pub(crate) async fn write_payout(
    tx: &mut Tx,
    one: &PayoutRow,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE payouts SET stage = $2, due_at = $3, generation = $4, calls = $5,
                      questions = $6, first_call = $7, last_call = $8, note = $9, amount = $10,
                      state = $11, settles = $12, code = $13, reference = $14, paid_at = $15,
                      returned_at = $16, restored_at = $17, updated_at = $18
               WHERE payout_id = $1";
    let Payout { id, amount, state, settles, code, reference, .. } = &one.payout;
    let query = scheduled(sqlx::query(sql).bind(id.to_string()), &one.schedule);
    let query = query.bind(amount.minor).bind(state.code()).bind(settles.map(Settles::code));
    let query = query.bind(code.clone()).bind(reference.clone());
    let query = query.bind(one.payout.paid_at.map(Timestamp::micros));
    let query = query.bind(one.payout.returned_at.map(Timestamp::micros));
    let query = query.bind(one.payout.restored_at.map(Timestamp::micros)).bind(now.micros());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// The payout with this id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payout(database: &Database, id: PayoutId) -> Result<Option<PayoutRow>, DatabaseError> {
    let sql = format!("{ROW} WHERE payout_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// The same, which nobody else writes until the transaction ends.
pub(crate) async fn locked_payout(
    database: &Database,
    tx: &mut Tx,
    id: PayoutId,
) -> Result<Option<PayoutRow>, DatabaseError> {
    let locks = if database.dialect() == Dialect::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("{ROW} WHERE payout_id = $1 {locks}");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(&mut **tx).await?;
    row.as_ref().map(row_of).transpose()
}

/// Payouts for which something is to be done by now, the longest due first.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payouts_due(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<PayoutRow>, DatabaseError> {
    let sql = format!(
        "{ROW} WHERE stage IN ('DUE', 'CALLING', 'UNKNOWN', 'LOOKING') AND due_at <= $1
         ORDER BY due_at LIMIT $2"
    );
    let query = sqlx::query(&sql).bind(now.micros()).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Payouts by id, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payouts(
    database: &Database,
    filter: &PayoutFilter,
    limit: u32,
) -> Result<Vec<PayoutRow>, DatabaseError> {
    let mut sql = format!("{ROW} WHERE payout_id > $1");
    let mut values = vec![filter.after.map(|id| id.to_string()).unwrap_or_default()];
    let mut only = |column: &str, value: Option<String>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    };
    only("seller", filter.seller.as_ref().map(ToString::to_string));
    only("currency", filter.currency.map(|currency| currency.code().to_owned()));
    only("state", filter.state.map(|state| state.code().to_owned()));
    only("run_id", filter.run.map(|run| run.to_string()));
    sql.push_str(&format!(" ORDER BY payout_id LIMIT {limit}"));
    let mut query = sqlx::query(&sql);
    for value in values {
        query = query.bind(value);
    }
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Payouts that a provider calls so, whichever provider, in no order, at most `limit`. The index
/// begins with the provider: each that has any is looked up in it, and asked for by itself.
///
/// # Errors
/// [`DatabaseError`]
pub async fn payouts_referred(
    database: &Database,
    reference: &str,
    limit: u32,
) -> Result<Vec<PayoutId>, DatabaseError> {
    // SQLite reads the tables of a CROSS JOIN in their order.
    let sql = format!(
        "WITH RECURSIVE psps (psp) AS (
             SELECT MIN(psp) FROM payouts WHERE reference IS NOT NULL
             UNION ALL
             SELECT (SELECT MIN(payouts.psp) FROM payouts
                     WHERE payouts.psp > psps.psp AND payouts.reference IS NOT NULL)
             FROM psps WHERE psps.psp IS NOT NULL
         )
         SELECT payouts.payout_id FROM psps CROSS JOIN payouts
         WHERE payouts.psp = psps.psp AND payouts.reference = $1 LIMIT {limit}"
    );
    let rows = sqlx::query(&sql).bind(reference.to_owned()).fetch_all(database.reader()).await?;
    rows.iter().map(|row| word(row, 0, "id of a payout")).collect()
}

/// The payout that waits longest for a person, and how many do, at most [`COUNTED`].
///
/// # Errors
/// [`DatabaseError`]
pub async fn stuck_payouts(database: &Database) -> Result<Option<(PayoutRow, u64)>, DatabaseError> {
    let sql = format!("{ROW} WHERE state = 'STUCK' ORDER BY updated_at, payout_id LIMIT 1");
    let row = sqlx::query(&sql).fetch_optional(database.reader()).await?;
    let Some(row) = row else { return Ok(None) };
    let stuck = format!("SELECT 1 FROM payouts WHERE state = 'STUCK' LIMIT {COUNTED}");
    let sql = format!("SELECT COUNT(*) FROM ({stuck}) AS counted");
    let many: i64 = sqlx::query_scalar(&sql).fetch_one(database.reader()).await?;
    Ok(Some((row_of(&row)?, u64::try_from(many).unwrap_or_default())))
}

/// What came back of payouts to a seller that were paid, after each of two times of the book.
pub(crate) async fn came_back(
    database: &Database,
    (seller, currency): (&Seller, Currency),
    (old, earlier): (Timestamp, Timestamp),
) -> Result<CameBack, DatabaseError> {
    let sql = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM payouts
               WHERE seller = $1 AND currency = $2 AND restored_at > $3";
    let mut since = [0_i64; 2];
    for (sum, after) in since.iter_mut().zip([old, earlier]) {
        let query = sqlx::query_scalar(sql).bind(seller.to_string()).bind(currency.code());
        *sum = query.bind(after.micros()).fetch_one(database.reader()).await?;
    }
    let [since_old, since_earlier] = since;
    Ok(CameBack { since_old, since_earlier })
}

/// Payouts to a seller that were held, made before an instant and id, the newest first.
pub(crate) async fn held_before(
    database: &Database,
    of: (&Seller, Currency),
    before: (Timestamp, PayoutId),
    limit: u32,
) -> Result<Vec<PayoutRow>, DatabaseError> {
    let only = "AND (made_at, payout_id) < ($3, $4) ORDER BY made_at DESC, payout_id DESC";
    held_of(database, of, only, (before.0, before.1.to_string()), limit).await
}

/// The same made after an instant and id, the oldest first; with none, from the first one on.
pub(crate) async fn held_after(
    database: &Database,
    of: (&Seller, Currency),
    after: Option<(Timestamp, PayoutId)>,
    limit: u32,
) -> Result<Vec<PayoutRow>, DatabaseError> {
    let after = after.map_or((Timestamp::MIN, String::new()), |(at, id)| (at, id.to_string()));
    let only = "AND (made_at, payout_id) > ($3, $4) ORDER BY made_at, payout_id";
    held_of(database, of, only, after, limit).await
}

async fn held_of(
    database: &Database,
    (seller, currency): (&Seller, Currency),
    only: &str,
    (at, id): (Timestamp, String),
    limit: u32,
) -> Result<Vec<PayoutRow>, DatabaseError> {
    let sql = format!(
        "{ROW} WHERE seller = $1 AND currency = $2 AND state NOT IN ('COLLECTING', 'REFUSED')
         {only} LIMIT $5"
    );
    let query = sqlx::query(&sql).bind(seller.to_string()).bind(currency.code());
    let query = query.bind(at.micros()).bind(id).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// The payout of a provider that it told something of, by our id of it or the provider's name.
pub(crate) async fn payout_told(
    tx: &mut Tx,
    (ours, psp): (Option<PayoutId>, &PspName),
    reference: Option<&PspReference>,
) -> Result<Option<PayoutRow>, DatabaseError> {
    let sql = format!("{ROW} WHERE psp = $1 AND (payout_id = $2 OR reference = $3) LIMIT 1");
    let query = sqlx::query(&sql).bind(psp.to_string());
    let query = query.bind(ours.map(|id| id.to_string()).unwrap_or_default());
    let query = query.bind(reference.map(ToString::to_string));
    query.fetch_optional(&mut **tx).await?.as_ref().map(row_of).transpose()
}

/// A provider told something of a payout: it is asked about now, by the name that it told. Returns
/// whether there is such a payout, by our id of it or the provider's.
pub(crate) async fn wake_payout(
    tx: &mut Tx,
    (ours, psp): (Option<PayoutId>, &PspName),
    reference: Option<&PspReference>,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    // One that is called now hears the answer; one whose call was lost is asked about anyway.
    let sql = "UPDATE payouts SET due_at = CASE WHEN state IN ('SUBMITTED', 'PAID', 'STUCK')
                          OR stage = 'UNKNOWN' THEN $4 ELSE due_at END,
                      stage = CASE WHEN state = 'PAID' THEN 'LOOKING'
                          WHEN state = 'STUCK' THEN 'UNKNOWN' ELSE stage END,
                      reference = COALESCE(reference, $3)
               WHERE psp = $1 AND (payout_id = $2 OR reference = $3)";
    let query = sqlx::query(sql).bind(psp.to_string());
    let query = query.bind(ours.map(|id| id.to_string()).unwrap_or_default());
    let query = query.bind(reference.map(ToString::to_string)).bind(now.micros());
    Ok(query.execute(&mut **tx).await?.rows_affected() > 0)
}
