use service_edge::{Violations, violation};
use shared_events::contract::Sku;
use shared_events::stream::{AskedBy, OperatorAction, Tx, Verb};
use tonic::Status;

use super::parse::{StockUpdate, set_request};
use super::refusal::{move_status, unavailable};
use super::render::rendered;
use super::{StockEdge, proto};
use crate::store::{self, Loser, MoveOutcome, MovedStock, RequestDetails, StockRequest};

/// Products of one batch at most.
const BATCH_MAX: usize = 1_000;

impl StockEdge {
    /// Commits a change of these products. Later reads include it, cached ones too.
    async fn commit(&self, tx: Tx, skus: Vec<Sku>) -> Result<(), Status> {
        let change = self.cache.as_ref().map(|cache| cache.pending_change(skus));
        tx.commit().await.map_err(|error| unavailable(&error.into()))?;
        if let Some(change) = change {
            change.committed().await;
        }
        Ok(())
    }

    async fn move_stock(
        &self,
        tx: &mut Tx,
        update: &StockUpdate,
        by: &AskedBy,
    ) -> Result<(MovedStock, Vec<Loser>), Status> {
        let by = by.to_string();
        let (sku, asked, reason) = (&update.sku, &update.request, update.reason.as_str());
        let details = RequestDetails { by: &by, reason, request_id: update.request_id.as_deref() };
        let (database, outbox, now) = (&self.database, &self.outbox, (self.now)());
        let moved = if asked.allows_shortage() {
            store::move_stock_allowing_shortage(database, outbox, tx, sku, asked, details, now)
                .await
        } else {
            let moved = store::move_stock(database, tx, sku, asked, details, now).await;
            moved.map(|moved| (moved, Vec::new()))
        };
        let field = match asked {
            StockRequest::Set { .. } => "on_hand",
            StockRequest::Adjust { .. } => "delta",
        };
        moved.map_err(|error| move_status(&error, field))
    }

    /// Records an operator's action, once per call, in the transaction of its effect.
    async fn record_action(
        &self,
        tx: &mut Tx,
        by: &AskedBy,
        verb: Verb,
        target: &str,
        reason: &str,
        (before, after): (&str, &str),
    ) -> Result<(), Status> {
        if !by.is_operator() {
            return Ok(());
        }
        let action = OperatorAction::new(by, verb, target, reason, (self.now)());
        let written = action.changing(before, after).write(tx).await;
        written.map_err(|error| unavailable(&error))
    }

    /// Sets or adjusts the stock of one product.
    pub(super) async fn move_one(
        &self,
        update: &StockUpdate,
        by: &AskedBy,
        validate_only: bool,
    ) -> Result<(MovedStock, Vec<Loser>), Status> {
        let mut tx = self.begin(update.request.allows_shortage()).await?;
        let (moved, losers) = self.move_stock(&mut tx, update, by).await?;
        if validate_only {
            return Ok((moved, losers));
        }
        if moved.outcome != MoveOutcome::Replayed {
            let verb = match update.request {
                StockRequest::Set { .. } => Verb::SetStock,
                StockRequest::Adjust { .. } => Verb::AdjustStock,
            };
            let before = on_hand(moved.before);
            let mut after = on_hand(moved.stock.level.on_hand);
            if !losers.is_empty() {
                after.push_str(&format!(", {} orders lost their units", losers.len()));
            }
            let (sku, reason) = (update.sku.as_str(), update.reason.as_str());
            self.record_action(&mut tx, by, verb, sku, reason, (&before, &after)).await?;
        }
        let mut skus = vec![update.sku.clone()];
        for line in losers.iter().flat_map(|loser| &loser.reservation.lines) {
            skus.push(line.sku.clone());
        }
        skus.sort();
        skus.dedup();
        self.commit(tx, skus).await?;
        if !losers.is_empty() {
            self.outbox.committed();
        }
        Ok((moved, losers))
    }

    /// Begins a change; without the followers, where it may change reservations. A process without a
    /// cache invalidates those of others.
    async fn begin(&self, without_followers: bool) -> Result<Tx, Status> {
        let begun = async {
            let mut tx = self.database.begin().await?;
            if without_followers {
                store::exclude_followers(&self.database, &mut tx).await?;
            }
            match &self.cache {
                Some(_) => store::hold_generation(&self.database, &mut tx).await?,
                None => store::void_generation(&mut tx).await?,
            }
            Ok(tx)
        };
        begun.await.map_err(|error| unavailable(&error))
    }

    /// Sets the stock of many products: all of them or none.
    pub(super) async fn set_many(
        &self,
        by: &AskedBy,
        requests: Vec<proto::SetStockRequest>,
    ) -> Result<proto::BatchSetStockResponse, Status> {
        if requests.is_empty() || requests.len() > BATCH_MAX {
            return Err(violation("requests", "1 to 1,000 products"));
        }
        let mut violations = Violations::default();
        let mut updates = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match set_request(&format!("requests[{index}]."), request) {
                Ok(update) => updates.push((index, update)),
                Err(found) => violations.extend(found),
            }
        }
        violations.none_or()?;
        // Locked in sorted order, answered in the order of the requests.
        updates.sort_by(|one, other| one.1.sku.cmp(&other.1.sku));
        if let Some(pair) = updates.windows(2).find(|pair| pair[0].1.sku == pair[1].1.sku) {
            let field = format!("requests[{}].sku", pair[1].0);
            return Err(violation(&field, "the same product twice"));
        }
        let mut tx = self.begin(false).await?;
        let mut answers = vec![proto::Stock::default(); requests.len()];
        let mut replayed = Vec::new();
        let (mut before, mut after) = (0, 0);
        for (index, update) in &updates {
            let (moved, _) = self.move_stock(&mut tx, update, by).await?;
            if moved.outcome == MoveOutcome::Replayed {
                replayed.push(u32::try_from(*index).unwrap_or(u32::MAX));
            }
            before += moved.before;
            after += moved.stock.level.on_hand;
            if let Some(answer) = answers.get_mut(*index) {
                *answer = rendered(&moved.stock);
            }
        }
        replayed.sort_unstable();
        if requests.iter().any(|request| request.validate_only) {
            if !requests.iter().all(|request| request.validate_only) {
                return Err(violation("requests", "validate_only must be the same in all"));
            }
        } else {
            if replayed.len() < updates.len() {
                let target = products(&updates);
                let reason = updates.first().map_or("", |(_, first)| first.reason.as_str());
                let reason =
                    if updates.iter().all(|(_, one)| one.reason == reason) { reason } else { "" };
                let (before, after) = (on_hand(before), on_hand(after));
                let change = (before.as_str(), after.as_str());
                self.record_action(&mut tx, by, Verb::SetStock, &target, reason, change).await?;
            }
            let skus = updates.into_iter().map(|(_, update)| update.sku).collect();
            self.commit(tx, skus).await?;
        }
        Ok(proto::BatchSetStockResponse { stock: answers, replayed })
    }
}

fn on_hand(units: i64) -> String {
    format!("{units} on hand")
}

/// The products of a batch, in the record of operators' actions.
fn products(updates: &[(usize, StockUpdate)]) -> String {
    match updates {
        [(_, only)] => only.sku.to_string(),
        [(_, first), .., (_, last)] => {
            format!("{} products from {} to {}", updates.len(), first.sku, last.sku)
        }
        [] => String::new(),
    }
}
