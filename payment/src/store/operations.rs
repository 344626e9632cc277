use std::collections::BTreeSet;
use std::time::Duration;

use shared_events::contract::{OperationId, OrderId, PaymentId, PspName, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{instant, json, number, optional_instant, word};
use crate::domain::{Event, OperationKind, Schedule, Stage};

/// How long a case that has nothing to do at its time waits to be looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What is to be done at a provider, and what was done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Its id, our reference at the provider.
    pub id: OperationId,
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The provider.
    pub psp: PspName,
    /// What it does.
    pub kind: OperationKind,
    /// What is next.
    pub schedule: Schedule,
    /// How often somebody took it up to call or ask.
    pub claim: i64,
    /// The trace that opened it, as a `traceparent`, and when; none where it belongs to none.
    pub trace: Option<(String, Timestamp)>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub tracestate: Option<String>,
}

impl OperationRow {
    /// Since when it has been as it is: since its last call, or since it was opened where it was
    /// never called.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.schedule.last_call.unwrap_or(self.schedule.due_at)
    }

    /// As it is once these events are written.
    pub(crate) fn after<'a>(self, events: impl Iterator<Item = &'a Event>, now: Timestamp) -> Self {
        let id = self.id;
        let stages = events.filter_map(|event| staged(event, now)).filter(|(of, ..)| *of == id);
        stages.fold(self, |row, (_, stage, due_at)| Self {
            schedule: Schedule { stage, due_at, ..row.schedule },
            ..row
        })
    }
}

/// The stage that an event brings its operation to, and when that is due.
pub(super) fn staged(event: &Event, now: Timestamp) -> Option<(OperationId, Stage, Timestamp)> {
    match event {
        Event::Succeeded { operation_id, .. }
        | Event::Declined { operation_id, .. }
        | Event::Reversed { operation_id, .. } => Some((*operation_id, Stage::Done, now)),
        Event::Waits { operation_id, stuck, .. } => {
            let stage = if stuck.is_some() { Stage::Stuck } else { Stage::Looking };
            Some((*operation_id, stage, now.plus(LOOK_AGAIN)))
        }
        _ => None,
    }
}

const ROW: &str = "SELECT operation_id, order_id, payment_id, psp, kind, stage, due_at, generation,
                          calls, questions, first_call, last_call, note, claim, traceparent,
                          traced_at, tracestate FROM operations";

fn row_of(row: &AnyRow) -> Result<OperationRow, DatabaseError> {
    let (kind, stage): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    let traceparent: Option<String> = row.try_get(14)?;
    Ok(OperationRow {
        id: word(row, 0, "id of an operation")?,
        order_id: word(row, 1, "order of an operation")?,
        payment_id: word(row, 2, "payment of an operation")?,
        psp: word(row, 3, "provider of an operation")?,
        kind: OperationKind::of_code(&kind)
            .ok_or(DatabaseError::Corrupt("kind of an operation"))?,
        schedule: Schedule {
            stage: Stage::of_code(&stage).ok_or(DatabaseError::Corrupt("stage of an operation"))?,
            due_at: instant(row, 6)?,
            generation: number(row, 7, "generation of an operation")?,
            calls: number(row, 8, "calls of an operation")?,
            questions: number(row, 9, "questions of an operation")?,
            first_call: optional_instant(row, 10)?,
            last_call: optional_instant(row, 11)?,
            note: row.try_get(12)?,
        },
        claim: row.try_get(13)?,
        trace: traceparent.zip(optional_instant(row, 15)?),
        tracestate: row.try_get(16)?,
    })
}

/// The operation with this id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn operation(
    database: &Database,
    id: OperationId,
) -> Result<Option<OperationRow>, DatabaseError> {
    let sql = format!("{ROW} WHERE operation_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// Those of these operations that there are.
///
/// # Errors
/// [`DatabaseError`]
pub async fn operations_of(
    database: &Database,
    ids: &BTreeSet<OperationId>,
) -> Result<Vec<OperationRow>, DatabaseError> {
    let sql = format!("{ROW} WHERE operation_id {}", database.one_of());
    let rows = sqlx::query(&sql).bind(json(ids)?).fetch_all(database.reader()).await?;
    rows.iter().map(row_of).collect()
}

/// The trace that opened an operation, and when, if it is known.
pub(crate) async fn trace_of(
    tx: &mut Tx,
    id: OperationId,
) -> Result<Option<(String, Timestamp)>, DatabaseError> {
    let sql = "SELECT traceparent, traced_at FROM operations WHERE operation_id = $1";
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(None) };
    let traceparent: Option<String> = row.try_get(0)?;
    Ok(traceparent.zip(optional_instant(&row, 1)?))
}

/// Operations for which something is to be done by now, the longest due first.
///
/// # Errors
/// [`DatabaseError`]
pub async fn operations_due(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<OperationRow>, DatabaseError> {
    let sql = format!(
        "{ROW} WHERE stage IN ('DUE', 'CALLING', 'UNKNOWN', 'LOOKING') AND due_at <= $1
         ORDER BY due_at LIMIT $2"
    );
    let query = sqlx::query(&sql).bind(now.micros()).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Operations that a person must look at, by id after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn stuck(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<OperationRow>, DatabaseError> {
    let sql =
        format!("{ROW} WHERE stage = 'STUCK' AND operation_id > $1 ORDER BY operation_id LIMIT $2");
    let query = sqlx::query(&sql).bind(after.to_owned()).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// The operation that a person must look at and that was called, or opened where it never was,
/// before the others.
///
/// # Errors
/// [`DatabaseError`]
pub async fn stuck_longest(database: &Database) -> Result<Option<OperationRow>, DatabaseError> {
    let sql = format!(
        "{ROW} WHERE stage = 'STUCK' ORDER BY COALESCE(last_call, due_at), operation_id LIMIT 1"
    );
    let row = sqlx::query(&sql).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// All operations, by id after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn operations_after(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<OperationRow>, DatabaseError> {
    let sql = format!("{ROW} WHERE operation_id > $1 ORDER BY operation_id LIMIT $2");
    let query = sqlx::query(&sql).bind(after.to_owned()).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Adds an operation that was opened.
pub(super) async fn add(tx: &mut Tx, row: &OperationRow) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO operations
               (operation_id, order_id, payment_id, psp, kind, stage, due_at, generation, calls,
                questions, first_call, last_call, note, claim, traceparent, traced_at, tracestate)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, NULL, NULL, $8, 0, $9, $10, $11)";
    let query = sqlx::query(sql).bind(row.id.to_string()).bind(row.order_id.to_string());
    let query = query.bind(row.payment_id.to_string()).bind(row.psp.as_str().to_owned());
    let query = query.bind(row.kind.code()).bind(row.schedule.stage.code());
    let (traceparent, traced_at) = row.trace.clone().unzip();
    let query = query.bind(row.schedule.due_at.micros()).bind(row.schedule.note.clone());
    let query = query.bind(traceparent);
    let query = query.bind(traced_at.map(Timestamp::micros)).bind(row.tracestate.clone());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Takes an operation up as it was read, to call or to ask; or not, where somebody else has.
pub(crate) async fn claim(
    tx: &mut Tx,
    read: &OperationRow,
    next: &Schedule,
) -> Result<bool, DatabaseError> {
    let sql = "UPDATE operations SET stage = $2, due_at = $3, generation = $4, calls = $5,
                      questions = $6, first_call = $7, last_call = $8, note = $9, claim = $10
               WHERE operation_id = $1 AND claim = $11";
    let query = sqlx::query(sql).bind(read.id.to_string()).bind(next.stage.code());
    let query = query.bind(next.due_at.micros()).bind(i64::from(next.generation));
    let query = query.bind(i64::from(next.calls)).bind(i64::from(next.questions));
    let query = query.bind(next.first_call.map(Timestamp::micros));
    let query = query.bind(next.last_call.map(Timestamp::micros));
    let query = query.bind(next.note.clone()).bind(read.claim.saturating_add(1)).bind(read.claim);
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// Nothing more is to be done about an operation, or a person must look, or it is only watched.
pub(super) async fn stage(
    tx: &mut Tx,
    id: OperationId,
    stage: Stage,
    due_at: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE operations SET stage = $2, due_at = $3 WHERE operation_id = $1";
    let query = sqlx::query(sql).bind(id.to_string()).bind(stage.code());
    query.bind(due_at.micros()).execute(&mut **tx).await?;
    Ok(())
}
