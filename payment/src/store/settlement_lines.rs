use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Serialize;
use shared_events::contract::{
    Currency, LineKind, Money, OperationId, OrderId, PaymentId, PspName, SettledLine,
    SettlementLineId, Timestamp,
};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{instant, json, number, optional_instant, word};
use crate::domain::{LineState, Named, OperationKind, ReportLine};

/// A line of a report, and what it was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementLine {
    /// The provider.
    pub psp: PspName,
    /// The first report that it stood in.
    pub settlement_id: Uuid,
    /// Its number in that file, from 1.
    pub number: u64,
    /// What it says.
    pub said: ReportLine,
    /// How it stands.
    pub state: LineState,
    /// By how much it is more than is known, in minor units.
    pub off_by: i64,
    /// The order that it was matched with.
    pub order_id: Option<OrderId>,
    /// The payment.
    pub payment_id: Option<PaymentId>,
    /// What was done at the provider.
    pub operation_id: Option<OperationId>,
    /// The shard of its facts.
    pub shard: u16,
    /// What is to be said of it.
    pub note: String,
    /// When a person said what it is for.
    pub resolved_at: Option<Timestamp>,
}

impl SettlementLine {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> SettlementLineId {
        SettlementLineId::of(&self.psp, &self.said.name)
    }

    /// As facts have it.
    #[must_use]
    pub fn told(&self) -> SettledLine {
        let said = &self.said;
        let (settled, exchange_rate) = said.settled.clone().unzip();
        SettledLine {
            settlement_line_id: self.id(),
            psp: self.psp.clone(),
            psp_line: said.name.clone(),
            kind: said.kind,
            order_id: self.order_id,
            payment_id: self.payment_id,
            operation_id: self.operation_id,
            gross: said.gross,
            fee: said.fee,
            net: said.net,
            settled,
            exchange_rate,
            at: said.at,
        }
    }
}

/// Which lines. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineFilter {
    /// Of this provider.
    pub psp: Option<PspName>,
    /// That stand so.
    pub state: Option<LineState>,
    /// That were new in this report.
    pub settlement: Option<Uuid>,
    /// After this one, by provider and name.
    pub after: Option<(String, String)>,
}

const ROW: &str = "SELECT psp, name, settlement_id, number, kind, our_reference, psp_reference,
                          currency, gross, fee, net, settled_currency, settled, rate, at, state,
                          off_by, order_id, payment_id, operation_id, shard, note, resolved_at
                   FROM settlement_lines";

fn optional<T: FromStr>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<Option<T>, DatabaseError> {
    let text: Option<String> = row.try_get(column)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|_| DatabaseError::Corrupt(what))
}

fn currency(text: &str) -> Result<Currency, DatabaseError> {
    Currency::recorded(text).map_err(|_| DatabaseError::Corrupt("currency of a line"))
}

fn row_of(row: &AnyRow) -> Result<SettlementLine, DatabaseError> {
    let (kind, state): (String, String) = (row.try_get(4)?, row.try_get(15)?);
    let of = currency(&row.try_get::<String, _>(7)?)?;
    let money = |column: usize| Ok::<_, DatabaseError>(Money::new(row.try_get(column)?, of));
    let (code, paid): (Option<String>, Option<i64>) = (row.try_get(11)?, row.try_get(12)?);
    let rate: Option<String> = row.try_get(13)?;
    let settled = match (code, paid, rate) {
        (Some(code), Some(minor), Some(rate)) => Some((Money::new(minor, currency(&code)?), rate)),
        _ => None,
    };
    Ok(SettlementLine {
        psp: word(row, 0, "provider of a line")?,
        settlement_id: word(row, 2, "report of a line")?,
        number: number(row, 3, "number of a line")?,
        said: ReportLine {
            name: row.try_get(1)?,
            kind: LineKind::of_code(&kind).ok_or(DatabaseError::Corrupt("kind of a line"))?,
            our_reference: optional(row, 5, "reference of a line")?,
            psp_reference: row.try_get(6)?,
            gross: money(8)?,
            fee: money(9)?,
            net: money(10)?,
            settled,
            at: instant(row, 14)?,
        },
        state: LineState::of_code(&state).ok_or(DatabaseError::Corrupt("state of a line"))?,
        off_by: row.try_get(16)?,
        order_id: optional(row, 17, "order of a line")?,
        payment_id: optional(row, 18, "payment of a line")?,
        operation_id: optional(row, 19, "operation of a line")?,
        shard: number(row, 20, "shard of a line")?,
        note: row.try_get(21)?,
        resolved_at: optional_instant(row, 22)?,
    })
}

/// Lines by provider and name, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn settlement_lines(
    database: &Database,
    filter: &LineFilter,
    limit: u32,
) -> Result<Vec<SettlementLine>, DatabaseError> {
    let (psp, name) = filter.after.clone().unwrap_or_default();
    let mut sql = format!("{ROW} WHERE (psp, name) > ($1, $2)");
    let mut values = vec![psp, name];
    let mut only = |column: &str, value: Option<String>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    };
    only("psp", filter.psp.as_ref().map(ToString::to_string));
    only("settlement_id", filter.settlement.map(|id| id.to_string()));
    // As text, and not as a parameter: the condition is that of an index.
    if let Some(state) = filter.state {
        sql.push_str(&format!(" AND state = '{}'", state.code()));
    }
    sql.push_str(&format!(" ORDER BY psp, name LIMIT {limit}"));
    let mut query = sqlx::query(&sql);
    for value in values {
        query = query.bind(value);
    }
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// The line of a provider with this name.
///
/// # Errors
/// [`DatabaseError`]
pub async fn settlement_line(
    database: &Database,
    (psp, name): (&PspName, &str),
) -> Result<Option<SettlementLine>, DatabaseError> {
    let sql = format!("{ROW} WHERE psp = $1 AND name = $2");
    let query = sqlx::query(&sql).bind(psp.as_str().to_owned()).bind(name.to_owned());
    let row = query.fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// The lines of a provider that are known, of these names.
pub(crate) async fn known_lines(
    database: &Database,
    tx: &mut Tx,
    psp: &PspName,
    names: &[&str],
) -> Result<Vec<SettlementLine>, DatabaseError> {
    let sql = format!("{ROW} WHERE name {} AND psp = $2", database.one_of());
    let query = sqlx::query(&sql).bind(json(names)?).bind(psp.as_str().to_owned());
    query.fetch_all(&mut **tx).await?.iter().map(row_of).collect()
}

/// The operations of these orders that lines have named, and whether as done.
pub(crate) async fn named(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<Named, DatabaseError> {
    let sql = format!(
        "SELECT settlement_lines.operation_id, operations.kind, gross FROM settlement_lines
         JOIN operations ON operations.operation_id = settlement_lines.operation_id
         WHERE settlement_lines.order_id {} AND settlement_lines.kind <> 'DISPUTE'",
        database.one_of()
    );
    let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
    let one = |row: &AnyRow| {
        let (kind, gross): (String, i64) = (row.try_get(1)?, row.try_get(2)?);
        let is_refund = OperationKind::of_code(&kind) == Some(OperationKind::Refund);
        Ok((word(row, 0, "operation of a line")?, (gross > 0) != is_refund))
    };
    rows.iter().map(one).collect()
}

#[derive(Serialize)]
struct Row<'a> {
    psp: &'a str,
    name: &'a str,
    id: String,
    settlement_id: String,
    number: u64,
    kind: &'static str,
    our_reference: Option<OperationId>,
    psp_reference: Option<&'a str>,
    currency: &'static str,
    gross: i64,
    fee: i64,
    net: i64,
    settled_currency: Option<&'static str>,
    settled: Option<i64>,
    rate: Option<&'a str>,
    at: i64,
    state: &'static str,
    off_by: i64,
    order_id: Option<OrderId>,
    payment_id: Option<PaymentId>,
    operation_id: Option<OperationId>,
    shard: u16,
    note: &'a str,
}

impl<'a> Row<'a> {
    fn of(line: &'a SettlementLine) -> Self {
        let said = &line.said;
        let (settled, rate) = said.settled.as_ref().map(|(money, rate)| (*money, rate)).unzip();
        Self {
            psp: line.psp.as_str(),
            name: &said.name,
            id: line.id().to_string(),
            settlement_id: line.settlement_id.to_string(),
            number: line.number,
            kind: said.kind.code(),
            our_reference: said.our_reference,
            psp_reference: said.psp_reference.as_deref(),
            currency: said.gross.currency.code(),
            gross: said.gross.minor,
            fee: said.fee.minor,
            net: said.net.minor,
            settled_currency: settled.map(|money| money.currency.code()),
            settled: settled.map(|money| money.minor),
            rate: rate.map(String::as_str),
            at: said.at.micros(),
            state: line.state.code(),
            off_by: line.off_by,
            order_id: line.order_id,
            payment_id: line.payment_id,
            operation_id: line.operation_id,
            shard: line.shard,
            note: &line.note,
        }
    }
}

/// Adds lines that stood in no report before.
pub(crate) async fn add_lines(
    database: &Database,
    tx: &mut Tx,
    lines: &[SettlementLine],
) -> Result<(), DatabaseError> {
    if lines.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "INSERT INTO settlement_lines
         SELECT psp, name, id, settlement_id, number, kind, our_reference, psp_reference, currency,
                gross, fee, net, settled_currency, settled, rate, at, state, off_by, order_id,
                payment_id, operation_id, shard, note, NULL
         FROM json_to_recordset($1::json) AS row(psp TEXT, name TEXT, id TEXT, settlement_id TEXT,
             number BIGINT, kind TEXT, our_reference TEXT, psp_reference TEXT, currency TEXT,
             gross BIGINT, fee BIGINT, net BIGINT, settled_currency TEXT, settled BIGINT,
             rate TEXT, at BIGINT, state TEXT, off_by BIGINT, order_id TEXT, payment_id TEXT,
             operation_id TEXT, shard BIGINT, note TEXT)",
        "INSERT INTO settlement_lines
         SELECT value ->> 'psp', value ->> 'name', value ->> 'id', value ->> 'settlement_id',
                value ->> 'number', value ->> 'kind', value ->> 'our_reference',
                value ->> 'psp_reference', value ->> 'currency', value ->> 'gross',
                value ->> 'fee', value ->> 'net', value ->> 'settled_currency',
                value ->> 'settled', value ->> 'rate', value ->> 'at', value ->> 'state',
                value ->> 'off_by', value ->> 'order_id', value ->> 'payment_id',
                value ->> 'operation_id', value ->> 'shard', value ->> 'note', NULL
         FROM json_each($1)",
    );
    let rows: Vec<Row<'_>> = lines.iter().map(Row::of).collect();
    sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
    Ok(())
}

/// A person said what a line is for that was unknown; or somebody else has.
pub(crate) async fn resolve_line(
    tx: &mut Tx,
    line: &SettlementLine,
) -> Result<bool, DatabaseError> {
    let sql = "UPDATE settlement_lines SET state = $3, off_by = $4, order_id = $5,
                      payment_id = $6, operation_id = $7, note = $8, resolved_at = $9
               WHERE psp = $1 AND name = $2 AND state = 'UNKNOWN'";
    let query = sqlx::query(sql).bind(line.psp.as_str().to_owned()).bind(line.said.name.clone());
    let query = query.bind(line.state.code()).bind(line.off_by);
    let query = query.bind(line.order_id.map(|id| id.to_string()));
    let query = query.bind(line.payment_id.map(|id| id.to_string()));
    let query = query.bind(line.operation_id.map(|id| id.to_string()));
    let query = query.bind(line.note.clone()).bind(line.resolved_at.map(Timestamp::micros));
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}
