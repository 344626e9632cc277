use psp::Token;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{DatabaseError, Tx};
use sqlx::Row as _;
use uuid::Uuid;

use super::json;
use crate::domain::{Case, OperationKind};

/// Keeps what a customer pays with for as long as the attempt lasts.
pub(crate) async fn keep_token(
    tx: &mut Tx,
    (order, attempt): (OrderId, Uuid),
    token: &Token,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO tokens (order_id, attempt_id, token, kept_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (order_id, attempt_id) DO NOTHING";
    let query = sqlx::query(sql).bind(order.to_string()).bind(attempt.to_string());
    query.bind(token.expose()).bind(now.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// What the customer pays with in an attempt, while it lasts.
pub(crate) async fn token(
    tx: &mut Tx,
    order: OrderId,
    attempt: Uuid,
) -> Result<Option<Token>, DatabaseError> {
    let sql = "SELECT token FROM tokens WHERE order_id = $1 AND attempt_id = $2";
    let query = sqlx::query(sql).bind(order.to_string()).bind(attempt.to_string());
    let Some(row) = query.fetch_optional(&mut **tx).await? else { return Ok(None) };
    let text: String = row.try_get(0)?;
    text.parse().map(Some).map_err(|_| DatabaseError::Corrupt("token"))
}

/// Deletes tokens that were kept since before an instant: no provider remembers a key for so long.
pub(crate) async fn forget_old_tokens(tx: &mut Tx, before: Timestamp) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM tokens WHERE kept_at < $1";
    sqlx::query(sql).bind(before.micros()).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes what attempts of an order were made with that are over.
pub(super) async fn forget_tokens(
    database: &shared_events::stream::Database,
    tx: &mut Tx,
    case: &Case,
) -> Result<(), DatabaseError> {
    let waits = case.plan.is_none() && case.is_wanted();
    let lasts = |attempt: &&Uuid| {
        let all = case.payments.iter().flat_map(|one| one.of_kind(OperationKind::Authorize));
        waits || all.filter(|one| one.cause == **attempt).any(|one| one.is_open())
    };
    let last: Vec<&Uuid> = case.attempts.iter().filter(lasts).collect();
    let last_ones = database.one_of_in("$2");
    let sql = format!("DELETE FROM tokens WHERE order_id = $1 AND NOT attempt_id {last_ones}");
    let query = sqlx::query(&sql).bind(case.order_id.to_string()).bind(json(&last)?);
    query.execute(&mut **tx).await?;
    Ok(())
}
