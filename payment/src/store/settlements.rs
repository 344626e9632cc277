use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::{
    Currency, Money, OperationId, OrderId, PaymentId, PspName, Timestamp,
};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{instant, json, number, word};
use crate::domain::{Case, Event, OperationKind};

/// What a report had when it was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementCounts {
    /// Lines.
    pub lines: u64,
    /// Lines that had stood in no report before. The other numbers are of these.
    pub new_lines: u64,
    /// Lines that are what was known of.
    pub matched: u64,
    /// Lines of other amounts, or of what was settled before.
    pub discrepancies: u64,
    /// Lines of which nobody knew what they are for.
    pub unknown: u64,
    /// Operations of which nobody had known what became, and that a line proved.
    pub proved: u64,
}

/// A report that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its id: a UUID of its provider and its hash.
    pub id: Uuid,
    /// The provider.
    pub psp: PspName,
    /// The hash of its bytes (BLAKE3), in hexadecimal digits.
    pub hash: String,
    /// What its file was called, where that was said.
    pub file_name: String,
    /// What it had.
    pub counts: SettlementCounts,
    /// Who imported it.
    pub asked_by: String,
    /// When.
    pub imported_at: Timestamp,
}

/// Something of ours that was done and that no report has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The operation.
    pub operation_id: OperationId,
    /// The provider.
    pub psp: PspName,
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// A capture or a refund.
    pub kind: OperationKind,
    /// How much.
    pub amount: Money,
    /// When it was done.
    pub done_at: Timestamp,
}

/// Takes the reports of a provider: who else imports one waits for this transaction.
pub(crate) async fn take_reports(tx: &mut Tx, psp: &PspName) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO settlement_psps (psp, reports) VALUES ($1, 1)
               ON CONFLICT (psp) DO UPDATE SET reports = settlement_psps.reports + 1";
    sqlx::query(sql).bind(psp.as_str().to_owned()).execute(&mut **tx).await?;
    Ok(())
}

const ROW: &str = "SELECT id, psp, hash, file_name, lines, new_lines, matched, discrepancies,
                          unknown, proved, asked_by, imported_at FROM settlements";

fn row_of(row: &AnyRow) -> Result<Settlement, DatabaseError> {
    let count = |column: usize| number(row, column, "lines of a report");
    Ok(Settlement {
        id: word(row, 0, "id of a report")?,
        psp: word(row, 1, "provider of a report")?,
        hash: row.try_get(2)?,
        file_name: row.try_get(3)?,
        counts: SettlementCounts {
            lines: count(4)?,
            new_lines: count(5)?,
            matched: count(6)?,
            discrepancies: count(7)?,
            unknown: count(8)?,
            proved: count(9)?,
        },
        asked_by: row.try_get(10)?,
        imported_at: instant(row, 11)?,
    })
}

/// The report with this id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn settlement(
    database: &Database,
    id: Uuid,
) -> Result<Option<Settlement>, DatabaseError> {
    let sql = format!("{ROW} WHERE id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// The same, in a transaction that has taken the reports of its provider.
pub(crate) async fn imported(tx: &mut Tx, id: Uuid) -> Result<Option<Settlement>, DatabaseError> {
    let sql = format!("{ROW} WHERE id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(&mut **tx).await?;
    row.as_ref().map(row_of).transpose()
}

/// Reports, the newest first: of a provider where it is named, before one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn settlements(
    database: &Database,
    psp: Option<&PspName>,
    before: Option<(i64, Uuid)>,
    limit: u32,
) -> Result<Vec<Settlement>, DatabaseError> {
    let (at, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at, id.to_string()));
    let sql = format!(
        "{ROW} WHERE (imported_at, id) < ($1, $2) AND ($3 = '' OR psp = $3)
         ORDER BY imported_at DESC, id DESC LIMIT $4"
    );
    let psp = psp.map(ToString::to_string).unwrap_or_default();
    let query = sqlx::query(&sql).bind(at).bind(id).bind(psp).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Keeps a report.
pub(crate) async fn keep_settlement(tx: &mut Tx, one: &Settlement) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO settlements (id, psp, hash, file_name, lines, new_lines, matched,
                   discrepancies, unknown, proved, asked_by, imported_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let counts = &one.counts;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let query = sqlx::query(sql).bind(one.id.to_string()).bind(one.psp.as_str().to_owned());
    let query = query.bind(one.hash.clone()).bind(one.file_name.clone());
    let query = query.bind(count(counts.lines)).bind(count(counts.new_lines));
    let query = query.bind(count(counts.matched)).bind(count(counts.discrepancies));
    let query = query.bind(count(counts.unknown)).bind(count(counts.proved));
    let query = query.bind(one.asked_by.clone()).bind(one.imported_at.micros());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// The payments that a provider calls so, by its names.
pub(crate) async fn payments_named(
    database: &Database,
    psp: &PspName,
    references: &[&str],
) -> Result<BTreeMap<String, (OrderId, PaymentId)>, DatabaseError> {
    let sql = format!(
        "SELECT reference, order_id, payment_id FROM psp_references
         WHERE reference {} AND psp = $2",
        database.one_of()
    );
    let query = sqlx::query(&sql).bind(json(references)?).bind(psp.as_str().to_owned());
    let one = |row: &AnyRow| {
        let of = (word(row, 1, "order of a reference")?, word(row, 2, "payment of a reference")?);
        Ok((row.try_get(0)?, of))
    };
    query.fetch_all(database.reader()).await?.iter().map(one).collect()
}

/// What an event means for reports to come: what was done is to be named, what was undone is not.
pub(super) async fn due(tx: &mut Tx, case: &Case, event: &Event) -> Result<(), DatabaseError> {
    match event {
        Event::Succeeded { operation_id, amount, at, .. } => {
            let Some((payment, one)) = case.operation(*operation_id) else { return Ok(()) };
            let moves = matches!(one.kind, OperationKind::Capture | OperationKind::Refund);
            let Some(psp) = case.psp_of(one).filter(|_| moves && !one.external) else {
                return Ok(());
            };
            let sql = "INSERT INTO to_settle (operation_id, psp, order_id, payment_id, kind,
                           currency, amount, done_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                       ON CONFLICT (operation_id) DO NOTHING";
            let query = sqlx::query(sql).bind(one.id.to_string()).bind(psp.as_str().to_owned());
            let query = query.bind(case.order_id.to_string()).bind(payment.id.to_string());
            let query = query.bind(one.kind.code()).bind(amount.currency.code());
            query.bind(amount.minor).bind(at.micros()).execute(&mut **tx).await?;
        }
        Event::Reversed { operation_id, .. } => {
            let sql = "DELETE FROM to_settle WHERE operation_id = $1";
            sqlx::query(sql).bind(operation_id.to_string()).execute(&mut **tx).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Lines have named these operations: nobody waits for them any more.
pub(crate) async fn not_due(
    database: &Database,
    tx: &mut Tx,
    operations: &BTreeSet<OperationId>,
) -> Result<(), DatabaseError> {
    if operations.is_empty() {
        return Ok(());
    }
    let sql = format!("DELETE FROM to_settle WHERE operation_id {}", database.one_of());
    sqlx::query(&sql).bind(json(operations)?).execute(&mut **tx).await?;
    Ok(())
}

/// What was done before an instant at providers whose reports are imported, and that no line has
/// named: of a provider where it is named, the longest done first, after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn unsettled(
    database: &Database,
    psp: Option<&PspName>,
    (before, after): (Timestamp, Option<(i64, OperationId)>),
    limit: u32,
) -> Result<Vec<Unsettled>, DatabaseError> {
    let (at, id) = after.map_or((i64::MIN, String::new()), |(at, id)| (at, id.to_string()));
    let sql = "SELECT operation_id, psp, order_id, payment_id, kind, currency, amount, done_at
               FROM to_settle
               WHERE (done_at, operation_id) > ($1, $2) AND done_at < $3
                   AND ($4 = '' OR psp = $4)
                   AND psp IN (SELECT psp FROM settlement_psps)
                   AND NOT EXISTS (SELECT 1 FROM settlement_lines
                                   WHERE settlement_lines.operation_id = to_settle.operation_id)
               ORDER BY done_at, operation_id LIMIT $5";
    let psp = psp.map(ToString::to_string).unwrap_or_default();
    let query = sqlx::query(sql).bind(at).bind(id).bind(before.micros()).bind(psp);
    let rows = query.bind(i64::from(limit)).fetch_all(database.reader()).await?;
    let one = |row: &AnyRow| {
        let (kind, code): (String, String) = (row.try_get(4)?, row.try_get(5)?);
        let currency = Currency::recorded(&code);
        let currency = currency.map_err(|_| DatabaseError::Corrupt("currency to settle"))?;
        Ok(Unsettled {
            operation_id: word(row, 0, "operation to settle")?,
            psp: word(row, 1, "provider to settle")?,
            order_id: word(row, 2, "order to settle")?,
            payment_id: word(row, 3, "payment to settle")?,
            kind: OperationKind::of_code(&kind).ok_or(DatabaseError::Corrupt("kind to settle"))?,
            amount: Money::new(row.try_get(6)?, currency),
            done_at: instant(row, 7)?,
        })
    };
    rows.iter().map(one).collect()
}
