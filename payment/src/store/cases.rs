use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::{FactBody, FactId, OrderId, PaymentFact, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, NewFact, Outbox, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::chain::{self, StoredEvent, shard_of};
use super::open::{Asked, OpenCase, Origins};
use super::operations::LOOK_AGAIN;
use super::summary::{PaymentSummary, summaries};
use super::{json, number, todo, tokens};
use crate::domain::Case;

#[derive(Serialize)]
struct CaseRow {
    order_id: OrderId,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<i64>,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<String>,
    doubted: u8,
}

impl CaseRow {
    const fn new(order_id: OrderId, body: String) -> Self {
        Self {
            order_id,
            version: 0,
            shard: None,
            due_at: None,
            body,
            asked_position: None,
            asked_by: None,
            doubted: 0,
        }
    }
}

#[derive(Serialize)]
struct PaymentRow {
    payment_id: String,
    order_id: OrderId,
    customer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seller: Option<String>,
    psp: String,
    currency: String,
    status: &'static str,
    requested: i64,
    wanted: i64,
    authorized: i64,
    captured: i64,
    refunded: i64,
    updated_at: i64,
}

impl From<PaymentSummary> for PaymentRow {
    fn from(one: PaymentSummary) -> Self {
        Self {
            payment_id: one.id.to_string(),
            order_id: one.order_id,
            customer_id: one.customer_id.to_string(),
            seller: one.seller.as_ref().map(ToString::to_string),
            psp: one.psp.to_string(),
            currency: one.currency.to_string(),
            status: one.status.code(),
            requested: one.requested,
            wanted: one.wanted,
            authorized: one.authorized,
            captured: one.captured,
            refunded: one.refunded,
            updated_at: one.updated_at.micros(),
        }
    }
}

/// The cases of these orders, locked until the transaction ends; those of `created` are made where
/// they are not there.
pub(crate) async fn lock(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
    created: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, OpenCase>, DatabaseError> {
    if !created.is_empty() {
        let row = |order_id: &OrderId| Ok(CaseRow::new(*order_id, json(&Case::new(*order_id))?));
        let rows = created.iter().map(row).collect::<Result<Vec<_>, DatabaseError>>()?;
        let sql = format!("{} DO NOTHING", upsert_sql(database));
        sqlx::query(&sql).bind(json(&rows)?).execute(&mut **tx).await?;
    }
    let locks = if database.dialect() == Dialect::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT body, shard, version, asked_position, asked_by, doubted FROM cases
         WHERE order_id {} ORDER BY order_id {locks}",
        database.one_of()
    );
    let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
    let open = |row: &AnyRow| {
        let (case, shard) = case_of(row)?;
        let is_new = number::<u64>(row, 2, "version of a case")? == 0 && shard.is_none();
        let (position, fact): (Option<i64>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        let asked = position.zip(fact).map(|(position, fact)| {
            let position = u64::try_from(position);
            let position = position.map_err(|_| DatabaseError::Corrupt("position of a case"))?;
            Ok::<_, DatabaseError>(Asked { position, fact })
        });
        let is_doubted = number::<u8>(row, 5, "doubt of a case")? == 1;
        let case = OpenCase {
            case,
            shard,
            asked: asked.transpose()?,
            is_doubted,
            asking_changed: false,
            is_new,
            looked: false,
            happened: Vec::new(),
        };
        Ok((case.case.order_id, case))
    };
    rows.iter().map(open).collect()
}

/// body, shard.
pub(super) fn case_of(row: &AnyRow) -> Result<(Case, Option<u16>), DatabaseError> {
    let (body, shard): (String, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let case = serde_json::from_str(&body).map_err(|_| DatabaseError::Corrupt("body of a case"))?;
    let shard = shard.map(u16::try_from).transpose();
    Ok((case, shard.map_err(|_| DatabaseError::Corrupt("shard of a case"))?))
}

const fn upsert_sql(database: &Database) -> &'static str {
    database.sql(
        "INSERT INTO cases
             (order_id, version, shard, due_at, body, asked_position, asked_by, doubted)
         SELECT order_id, version, shard, due_at, body, asked_position, asked_by, doubted
         FROM json_to_recordset($1::json) AS row(order_id TEXT, version BIGINT, shard BIGINT,
             due_at BIGINT, body TEXT, asked_position BIGINT, asked_by TEXT, doubted BIGINT)
         ORDER BY order_id
         ON CONFLICT (order_id)",
        "INSERT INTO cases
             (order_id, version, shard, due_at, body, asked_position, asked_by, doubted)
         SELECT value ->> 'order_id', value ->> 'version', value ->> 'shard', value ->> 'due_at',
                value ->> 'body', value ->> 'asked_position', value ->> 'asked_by',
                value ->> 'doubted' FROM json_each($1) WHERE true
         ON CONFLICT (order_id)",
    )
}

/// Writes what happened to these cases: the rows, the history, what is to be done, and the facts.
pub(crate) async fn write(
    stores: (&Database, &Outbox),
    tx: &mut Tx,
    cases: Vec<OpenCase>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    write_beside(stores, tx, cases, Vec::new(), now).await
}

/// The same, with facts about something else behind those of the cases. Shards are taken once for
/// all of them: two writers never wait for each other.
pub(crate) async fn write_beside(
    (database, outbox): (&Database, &Outbox),
    tx: &mut Tx,
    cases: Vec<OpenCase>,
    others: Vec<NewFact>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let changed: Vec<OpenCase> = cases.into_iter().filter(OpenCase::is_changed).collect();
    if changed.is_empty() {
        outbox.write(tx, others, now).await?;
        return Ok(());
    }
    write_rows(database, tx, &changed, now).await?;
    chain::append(database, tx, history(&changed, now)?).await?;
    let mut told = Vec::new();
    for open in &changed {
        for (event, facts, origins) in &open.happened {
            todo::todo(tx, &open.case, event, origins, now).await?;
            told.extend(published(open, facts, origins));
        }
    }
    for open in &changed {
        if !open.case.attempts.is_empty() && !open.happened.is_empty() {
            tokens::forget_tokens(database, tx, &open.case).await?;
        }
    }
    told.extend(others);
    outbox.write(tx, told, now).await?;
    Ok(())
}

/// The facts of one event.
fn published(
    open: &OpenCase,
    facts: &[(FactId, PaymentFact)],
    origins: &Origins,
) -> impl Iterator<Item = NewFact> {
    facts.iter().map(move |(id, fact)| NewFact {
        id: *id,
        shard: open.shard.unwrap_or_default(),
        sequence: None,
        causationid: origins.causationid.clone(),
        traceparent: origins.traceparent.clone(),
        tracestate: origins.tracestate.clone(),
        body: FactBody::Payment(fact.clone()),
    })
}

fn history(changed: &[OpenCase], now: Timestamp) -> Result<Vec<StoredEvent>, DatabaseError> {
    let mut events = Vec::new();
    for open in changed {
        let count = u64::try_from(open.happened.len()).unwrap_or_default();
        let first = open.case.version.saturating_sub(count).saturating_add(1);
        for (version, (event, _, _)) in (first..).zip(&open.happened) {
            events.push(StoredEvent {
                shard: shard_of(open.case.order_id),
                position: 0,
                order_id: open.case.order_id,
                version,
                at: now,
                event: json(event)?,
                hash: <_>::default(),
            });
        }
    }
    Ok(events)
}

async fn write_rows(
    database: &Database,
    tx: &mut Tx,
    changed: &[OpenCase],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let row = |open: &OpenCase| {
        let due_at = open.case.due_at();
        // Due and nothing to do yet: an authorisation that ends while it is captured.
        let due_at = due_at.map(|at| if at <= now { now.plus(LOOK_AGAIN) } else { at });
        Ok(CaseRow {
            order_id: open.case.order_id,
            version: open.case.version,
            shard: open.shard,
            due_at: due_at.map(Timestamp::micros),
            body: json(&open.case)?,
            asked_position: open.asked.as_ref().map(|asked| asked.position),
            asked_by: open.asked.as_ref().map(|asked| asked.fact.clone()),
            doubted: u8::from(open.is_doubted),
        })
    };
    let rows = changed.iter().map(row).collect::<Result<Vec<_>, DatabaseError>>()?;
    let sql = format!(
        "{} DO UPDATE SET version = excluded.version, shard = excluded.shard,
             due_at = excluded.due_at, body = excluded.body,
             asked_position = excluded.asked_position, asked_by = excluded.asked_by,
             doubted = excluded.doubted",
        upsert_sql(database)
    );
    sqlx::query(&sql).bind(json(&rows)?).execute(&mut **tx).await?;
    let of_each = changed.iter().flat_map(|open| summaries(&open.case, now));
    let rows: Vec<PaymentRow> = of_each.map(PaymentRow::from).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "{} ON CONFLICT (payment_id) DO UPDATE SET status = excluded.status,
             customer_id = excluded.customer_id, psp = excluded.psp, currency = excluded.currency,
             requested = excluded.requested, wanted = excluded.wanted,
             authorized = excluded.authorized,
             captured = excluded.captured, refunded = excluded.refunded,
             updated_at = excluded.updated_at",
        database.sql(PAYMENTS.0, PAYMENTS.1)
    );
    sqlx::query(&sql).bind(json(&rows)?).execute(&mut **tx).await?;
    Ok(())
}

const PAYMENTS: (&str, &str) = (
    "INSERT INTO payments
     SELECT payment_id, order_id, customer_id, seller, psp, currency, status, requested, wanted,
            authorized, captured, refunded, updated_at
     FROM json_to_recordset($1::json) AS row(payment_id TEXT, order_id TEXT, customer_id TEXT,
         seller TEXT, psp TEXT, currency TEXT, status TEXT, requested BIGINT, wanted BIGINT,
         authorized BIGINT, captured BIGINT, refunded BIGINT, updated_at BIGINT)",
    "INSERT INTO payments
     SELECT value ->> 'payment_id', value ->> 'order_id', value ->> 'customer_id',
            value ->> 'seller', value ->> 'psp', value ->> 'currency', value ->> 'status',
            value ->> 'requested', value ->> 'wanted', value ->> 'authorized',
            value ->> 'captured', value ->> 'refunded', value ->> 'updated_at'
     FROM json_each($1) WHERE true",
);

/// The payments of an order, if anything is known of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn case(database: &Database, order: OrderId) -> Result<Option<Case>, DatabaseError> {
    let sql = "SELECT body, shard FROM cases WHERE order_id = $1";
    let row = sqlx::query(sql).bind(order.to_string()).fetch_optional(database.reader()).await?;
    Ok(row.as_ref().map(case_of).transpose()?.map(|(case, _)| case))
}

/// The payments of orders, by order id after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn cases_after(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<Case>, DatabaseError> {
    let sql = "SELECT body, shard FROM cases WHERE order_id > $1 ORDER BY order_id LIMIT $2";
    let query = sqlx::query(sql).bind(after.to_owned()).bind(i64::from(limit));
    let rows = query.fetch_all(database.reader()).await?;
    rows.iter().map(|row| case_of(row).map(|(case, _)| case)).collect()
}

/// Orders for which something happens by now without anybody asking, the longest due first.
///
/// # Errors
/// [`DatabaseError`]
pub async fn cases_due(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<OrderId>, DatabaseError> {
    let sql = "SELECT order_id FROM cases WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
    let query = sqlx::query(sql).bind(now.micros()).bind(i64::from(limit));
    let rows = query.fetch_all(database.reader()).await?;
    rows.iter().map(|row| super::word(row, 0, "order of a case")).collect()
}

/// An order that is due and could not be looked at is looked at again later.
pub(crate) async fn look_again(
    tx: &mut Tx,
    order: OrderId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE cases SET due_at = $2 WHERE order_id = $1";
    let query = sqlx::query(sql).bind(order.to_string()).bind(now.plus(LOOK_AGAIN).micros());
    query.execute(&mut **tx).await?;
    Ok(())
}
