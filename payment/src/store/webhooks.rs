use std::time::Duration;

use psp::Event as Told;
use shared_events::contract::{OperationId, OrderId, PaymentId, PspName, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{instant, json, number, optional_instant, word};
use crate::domain::WebhookState;

/// Shards of stored webhooks, so that those who store seldom wait for each other.
pub const WEBHOOK_SHARDS: u16 = 16;
/// The kind of a genuine body that is not understood. Nothing of it is kept.
pub(crate) const NOT_UNDERSTOOD: &str = "not_understood";
/// What is said of it.
pub(crate) const NOT_UNDERSTOOD_NOTE: &str = "the body is not understood";
/// What is said of one that was understood, and cannot be read any more.
pub(crate) const UNREADABLE_NOTE: &str = "what it told cannot be read any more";

/// How long one of which nothing can be read waits before it is tried again.
const UNREADABLE_FOR: Duration = Duration::from_secs(60);

/// A webhook of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The provider.
    pub psp: PspName,
    /// The provider's id of it.
    pub event_id: String,
    /// Its shard.
    pub shard: u16,
    /// Its position there, from 1 without a gap.
    pub position: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// What it tells, such as `refund_failed`.
    pub kind: String,
    /// What it tells; absent where it was not understood, or cannot be read any more.
    pub told: Option<Told>,
    /// What became of it.
    pub state: WebhookState,
    /// When it is looked at again.
    pub due_at: Timestamp,
    /// How often it was looked at in vain.
    pub tries: u32,
    /// Why it waits, or what came of it.
    pub note: String,
    /// The order, once it was handled.
    pub order_id: Option<OrderId>,
    /// When it was handled, parked or dropped.
    pub settled_at: Option<Timestamp>,
}

impl Webhook {
    /// As it is once a person has put it back, or dropped it.
    pub(crate) fn decided(&self, state: WebhookState, now: Timestamp) -> Self {
        let settled_at = (state != WebhookState::Waiting).then_some(now);
        let tries = self.tries.saturating_add(1);
        Self { state, due_at: now, tries, settled_at, ..self.clone() }
    }
}

const ROW: &str = "SELECT psp, event_id, shard, position, received_at, kind, told, state, due_at,
                          tries, note, order_id, settled_at FROM webhooks";

fn row_of(row: &AnyRow) -> Result<Webhook, DatabaseError> {
    let (told, state): (String, String) = (row.try_get(6)?, row.try_get(7)?);
    let order: Option<String> = row.try_get(11)?;
    let order = order.map(|text| text.parse()).transpose();
    Ok(Webhook {
        psp: word(row, 0, "provider of a webhook")?,
        event_id: row.try_get(1)?,
        shard: number(row, 2, "shard of a webhook")?,
        position: number(row, 3, "position of a webhook")?,
        received_at: instant(row, 4)?,
        kind: row.try_get(5)?,
        // One that cannot be read is for a person, and does not hold up the others.
        told: serde_json::from_str(&told).unwrap_or_default(),
        state: WebhookState::of_code(&state).ok_or(DatabaseError::Corrupt("state of a webhook"))?,
        due_at: instant(row, 8)?,
        tries: number(row, 9, "tries of a webhook")?,
        note: row.try_get(10)?,
        order_id: order.map_err(|_| DatabaseError::Corrupt("order of a webhook"))?,
        settled_at: optional_instant(row, 12)?,
    })
}

/// The shard of a webhook: the same for the same one.
fn shard_of(psp: &PspName, event_id: &str) -> u16 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(psp.as_str().as_bytes()).update(&[0]).update(event_id.as_bytes());
    let [first, ..] = *hasher.finalize().as_bytes();
    u16::from(first) % WEBHOOK_SHARDS
}

/// Stores what a provider told, once; returns whether it is new.
pub(crate) async fn keep(
    database: &Database,
    (psp, event_id): (&PspName, &str),
    told: Option<&Told>,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let sql = "SELECT 1 FROM webhooks WHERE psp = $1 AND event_id = $2";
    let known = sqlx::query(sql).bind(psp.as_str().to_owned()).bind(event_id.to_owned());
    if known.fetch_optional(database.reader()).await?.is_some() {
        return Ok(false);
    }
    let shard = i64::from(shard_of(psp, event_id));
    let mut tx = database.begin().await?;
    let sql = "INSERT INTO webhook_heads (shard, position) VALUES ($1, 1)
               ON CONFLICT (shard) DO UPDATE SET position = webhook_heads.position + 1
               RETURNING position";
    let position: i64 = sqlx::query_scalar(sql).bind(shard).fetch_one(&mut *tx).await?;
    let sql = "INSERT INTO webhooks (psp, event_id, shard, position, received_at, kind, reference,
                   payment, operation_id, told, state, due_at, tries, note, settled_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $5, 0, $12, $13)
               ON CONFLICT (psp, event_id) DO NOTHING";
    let text = |reference: Option<&psp::PspReference>| reference.map(ToString::to_string);
    let ours = told.and_then(|told| told.our_reference).map(|ours| ours.0.to_string());
    let (state, note, settled_at) = match told {
        Some(_) => (WebhookState::Waiting, "", None),
        None => (WebhookState::Parked, NOT_UNDERSTOOD_NOTE, Some(now.micros())),
    };
    let query = sqlx::query(sql).bind(psp.as_str().to_owned()).bind(event_id.to_owned());
    let query = query.bind(shard).bind(position).bind(now.micros());
    let query = query.bind(told.map_or(NOT_UNDERSTOOD, |told| told.what.name()));
    let query = query.bind(text(told.and_then(|told| told.reference.as_ref())));
    let query = query.bind(text(told.and_then(|told| told.payment.as_ref()))).bind(ours);
    let query = query.bind(json(&told)?).bind(state.code()).bind(note).bind(settled_at);
    if query.execute(&mut *tx).await?.rows_affected() == 0 {
        // Another one stored it meanwhile: no position is taken.
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Webhooks of these providers that are to be looked at by now, the longest due first. One that
/// cannot be read holds up no other: it is put off.
pub(crate) async fn webhooks_due(
    database: &Database,
    psps: &[&str],
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Webhook>, DatabaseError> {
    let sql = format!(
        "{ROW} WHERE state = 'WAITING' AND due_at <= $1 AND psp {}
         ORDER BY due_at, shard, position LIMIT $2",
        database.one_of_in("$3")
    );
    let query = sqlx::query(&sql).bind(now.micros()).bind(i64::from(limit)).bind(json(psps)?);
    let (mut due, mut unreadable) = (Vec::new(), Vec::new());
    for row in query.fetch_all(database.reader()).await? {
        match row_of(&row) {
            Ok(webhook) => due.push(webhook),
            Err(error) => {
                let text = |column: usize| row.try_get::<String, _>(column).unwrap_or_default();
                let (psp, id) = (text(0), text(1));
                tracing::error!(%psp, %id, %error, "a webhook cannot be read");
                unreadable.push((psp, id));
            }
        }
    }
    put_off(database, unreadable, now).await?;
    Ok(due)
}

/// Those that cannot be read would be read at each look, in the places of others.
async fn put_off(
    database: &Database,
    unreadable: Vec<(String, String)>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    let until = now.plus(UNREADABLE_FOR).micros();
    let mut tx = database.begin().await?;
    let sql = "UPDATE webhooks SET due_at = $3, note = $4
               WHERE psp = $1 AND event_id = $2 AND state = 'WAITING'";
    for (psp, id) in unreadable {
        let query = sqlx::query(sql).bind(psp).bind(id).bind(until).bind(UNREADABLE_NOTE);
        query.execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Marks the webhooks that have been due since `before`, and leaves to a person those that are still
/// marked and due since `before`: marked ones count as due since `again`. Returns how many those are.
pub(crate) async fn park_unheard(
    database: &Database,
    (before, again, now): (Timestamp, Timestamp, Timestamp),
    note: &str,
) -> Result<usize, DatabaseError> {
    let sql = "SELECT 1 FROM webhooks WHERE state = 'WAITING' AND due_at <= $1 LIMIT 1";
    let first = sqlx::query(sql).bind(before.micros());
    // Nothing is written while there is none.
    if first.fetch_optional(database.reader()).await?.is_none() {
        return Ok(0);
    }
    let mut tx = database.begin().await?;
    let sql = "UPDATE webhooks SET state = 'PARKED', settled_at = $2
               WHERE state = 'WAITING' AND due_at <= $1 AND note = $3";
    let query = sqlx::query(sql).bind(before.micros()).bind(now.micros());
    let parked = query.bind(note.to_owned()).execute(&mut *tx).await?.rows_affected();
    let sql = "UPDATE webhooks SET note = $3, due_at = $2
               WHERE state = 'WAITING' AND due_at <= $1 AND note <> $3";
    let query = sqlx::query(sql).bind(before.micros()).bind(again.micros());
    query.bind(note.to_owned()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(usize::try_from(parked).unwrap_or(usize::MAX))
}

/// The webhook that has waited longest for a person.
///
/// # Errors
/// [`DatabaseError`]
pub async fn parked_longest(database: &Database) -> Result<Option<Webhook>, DatabaseError> {
    let sql = format!("{ROW} WHERE state = 'PARKED' ORDER BY settled_at, psp, event_id LIMIT 1");
    let row = sqlx::query(&sql).fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// A webhook by the provider's id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn webhook(
    database: &Database,
    (psp, event_id): (&PspName, &str),
) -> Result<Option<Webhook>, DatabaseError> {
    let sql = format!("{ROW} WHERE psp = $1 AND event_id = $2");
    let query = sqlx::query(&sql).bind(psp.as_str().to_owned()).bind(event_id.to_owned());
    let row = query.fetch_optional(database.reader()).await?;
    row.as_ref().map(row_of).transpose()
}

/// Webhooks by provider and id after one of them, of a state where it is named.
///
/// # Errors
/// [`DatabaseError`]
pub async fn webhooks(
    database: &Database,
    state: Option<WebhookState>,
    (psp, event_id): (&str, &str),
    limit: u32,
) -> Result<Vec<Webhook>, DatabaseError> {
    let of = state.map(|state| format!("state = '{}' AND ", state.code())).unwrap_or_default();
    let sql = format!("{ROW} WHERE {of}(psp, event_id) > ($1, $2) ORDER BY psp, event_id LIMIT $3");
    let query = sqlx::query(&sql).bind(psp.to_owned()).bind(event_id.to_owned());
    let rows = query.bind(i64::from(limit)).fetch_all(database.reader()).await?;
    rows.iter().map(row_of).collect()
}

/// Webhooks of a shard after a position, in order.
///
/// # Errors
/// [`DatabaseError`]
pub async fn webhooks_after(
    database: &Database,
    (shard, position): (u16, u64),
    limit: u32,
) -> Result<Vec<Webhook>, DatabaseError> {
    let sql = format!("{ROW} WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3");
    let query = sqlx::query(&sql).bind(i64::from(shard));
    let query = query.bind(i64::try_from(position).unwrap_or(i64::MAX)).bind(i64::from(limit));
    query.fetch_all(database.reader()).await?.iter().map(row_of).collect()
}

/// Where each shard of webhooks ends.
///
/// # Errors
/// [`DatabaseError`]
pub async fn webhook_heads(database: &Database) -> Result<Vec<(u16, u64)>, DatabaseError> {
    let sql = "SELECT shard, position FROM webhook_heads ORDER BY shard";
    let rows = sqlx::query(sql).fetch_all(database.reader()).await?;
    let head = |row: &AnyRow| Ok((number(row, 0, "shard")?, number(row, 1, "head")?));
    rows.iter().map(head).collect()
}

/// What became of a webhook that is looked at, or put back by a person.
pub(crate) struct Outcome<'a> {
    pub(crate) state: WebhookState,
    pub(crate) due_at: Timestamp,
    pub(crate) tries: u32,
    pub(crate) note: &'a str,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) now: Timestamp,
}

/// Writes what became of a webhook; or not, where somebody else has, or it was woken since it was
/// read: then it is looked at once more.
pub(crate) async fn settle(
    tx: &mut Tx,
    read: &Webhook,
    next: &Outcome<'_>,
) -> Result<bool, DatabaseError> {
    let sql = "UPDATE webhooks SET state = $3, due_at = $4, tries = $5, note = $6,
                      order_id = COALESCE($7, order_id), settled_at = $8
               WHERE psp = $1 AND event_id = $2 AND state = $9 AND tries = $10 AND due_at = $11";
    let settled = (next.state != WebhookState::Waiting).then_some(next.now.micros());
    let query = sqlx::query(sql).bind(read.psp.as_str().to_owned()).bind(read.event_id.clone());
    let query = query.bind(next.state.code()).bind(next.due_at.micros());
    let query = query.bind(i64::from(next.tries)).bind(next.note.to_owned());
    let query = query.bind(next.order_id.map(|order| order.to_string())).bind(settled);
    let query = query.bind(read.state.code()).bind(i64::from(read.tries));
    let query = query.bind(read.due_at.micros());
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// Those that wait for an operation, or for what has this reference, are looked at now. One that is
/// being looked at is due at another instant than was read, so that it does not wait on.
pub(super) async fn wake(
    tx: &mut Tx,
    psp: &PspName,
    (operation, reference): (OperationId, Option<&str>),
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE webhooks SET due_at = CASE WHEN due_at > $4 THEN $4 ELSE due_at - 1 END
               WHERE state = 'WAITING' AND ((psp = $1 AND operation_id = $2)
                   OR (psp = $1 AND reference = $3) OR (psp = $1 AND payment = $3))";
    let query = sqlx::query(sql).bind(psp.as_str().to_owned()).bind(operation.to_string());
    query.bind(reference.map(str::to_owned)).bind(now.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// Keeps the provider's name of what was done for a payment.
pub(super) async fn name(
    tx: &mut Tx,
    psp: &PspName,
    reference: &str,
    (order, payment): (OrderId, PaymentId),
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO psp_references VALUES ($1, $2, $3, $4)
               ON CONFLICT (psp, reference) DO NOTHING";
    let query = sqlx::query(sql).bind(psp.as_str().to_owned()).bind(reference.to_owned());
    let query = query.bind(order.to_string()).bind(payment.to_string());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// The order and the payment that a webhook is about, by our operation or by the provider's names;
/// none where neither is known yet.
pub(crate) async fn about(
    database: &Database,
    psp: &PspName,
    told: &Told,
) -> Result<Option<(OrderId, PaymentId)>, DatabaseError> {
    let of = |row: &AnyRow| {
        Ok((word(row, 0, "order of a reference")?, word(row, 1, "payment of a reference")?))
    };
    if let Some(ours) = told.our_reference {
        let sql = "SELECT order_id, payment_id FROM operations
                   WHERE operation_id = $1 AND psp = $2";
        let query = sqlx::query(sql).bind(ours.0.to_string()).bind(psp.as_str().to_owned());
        if let Some(row) = query.fetch_optional(database.reader()).await? {
            return of(&row).map(Some);
        }
    }
    let sql = "SELECT order_id, payment_id FROM psp_references
               WHERE psp = $1 AND reference IN ($2, $3) LIMIT 1";
    let text = |reference: &Option<psp::PspReference>| {
        reference.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let query = sqlx::query(sql).bind(psp.as_str().to_owned());
    let query = query.bind(text(&told.reference)).bind(text(&told.payment));
    query.fetch_optional(database.reader()).await?.as_ref().map(of).transpose()
}
