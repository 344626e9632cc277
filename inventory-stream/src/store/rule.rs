use std::collections::BTreeSet;

use shared_events::contract::{LocationName, Sku, Timestamp};
use shared_events::stream::{Database, Tx};

use super::set::{add_row, was_executed};
use super::{MoveError, MoveOutcome, RequestDetails, Stock, adjust, lock};
use crate::domain::{BackorderRule, StockLevel};
use crate::movements::Cause;

/// Sets how many units of a product may be promised beyond those on hand; returns its stock, the rule
/// before, and whether anything was written. Units that are backordered by then stay promised.
///
/// # Errors
/// [`MoveError`]
pub async fn set_backorder(
    database: &Database,
    tx: &mut Tx,
    sku: &Sku,
    rule: BackorderRule,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<(Stock, BackorderRule, MoveOutcome), MoveError> {
    add_row(tx, sku).await?;
    let levels = lock(database, tx, &BTreeSet::from([sku.clone()]), false).await?;
    let (level, elsewhere) = (levels.level(sku), levels.elsewhere(sku));
    let before = level.backorder;
    let asked = match rule.until {
        Some(until) => format!("backorder {} until {until}", rule.limit),
        None => format!("backorder {}", rule.limit),
    };
    if let Some(request_id) = details.request_id
        && was_executed(tx, request_id, sku, &asked, details.reason).await?
    {
        let stock = Stock { sku: sku.clone(), level, elsewhere };
        return Ok((stock, before, MoveOutcome::Replayed));
    }
    sqlx::query("UPDATE stock SET backorder_limit = $1, backorder_until = $2 WHERE sku = $3")
        .bind(Some(rule.limit).filter(|limit| *limit > 0))
        .bind(rule.until.map(Timestamp::micros))
        .bind(sku.as_str())
        .execute(&mut **tx)
        .await?;
    adjust(tx, (sku, &LocationName::main()), 0, Cause::Backorder, &asked, details, now).await?;
    let level = StockLevel { backorder: rule, ..level };
    let stock = Stock { sku: sku.clone(), level, elsewhere };
    Ok((stock, before, MoveOutcome::Written))
}
