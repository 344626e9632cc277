use std::collections::{BTreeMap, BTreeSet};

use service_edge::{Violations, violation};
use shared_events::contract::Sku;
use shared_events::stream::{AskedBy, OperatorAction, Tx, Verb};
use tonic::Status;

use super::parse::{StockUpdate, set_request};
use super::refusal::{move_status, unavailable};
use super::render::rendered;
use super::{StockEdge, proto};
use crate::store::{self, Loser, MoveOutcome, MovedStock, RequestDetails, Stock, StockRequest};

/// Products of one batch at most.
const BATCH_MAX: usize = 1_000;

impl StockEdge {
    /// Commits a change of these products. Later reads include it, cached ones too.
    pub(super) async fn commit(&self, tx: Tx, skus: Vec<Sku>) -> Result<(), Status> {
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
        let at = (&update.sku, &update.location);
        let (asked, reason) = (&update.request, update.reason.as_str());
        let details = RequestDetails {
            by: &by,
            reason,
            request_id: update.request_id.as_deref(),
            traceparent: update.traceparent.as_deref(),
            tracestate: update.tracestate.as_deref(),
        };
        let (database, outbox, now) = (&self.database, &self.outbox, (self.now)());
        let moved = if asked.allows_shortage() {
            store::move_stock_allowing_shortage(database, outbox, tx, at, asked, details, now).await
        } else {
            let moved = store::move_stock_at(database, tx, at, asked, details, now).await;
            moved.map(|moved| (moved, Vec::new()))
        };
        let field = match asked {
            StockRequest::Set { .. } => "on_hand",
            StockRequest::Adjust { .. } => "delta",
        };
        moved.map_err(|error| move_status(&error, field))
    }

    /// Records an operator's action, once per call, in the transaction of its effect.
    pub(super) async fn record_action(
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
        let mut without_followers = update.request.allows_shortage();
        let (mut tx, mut moved, losers) = loop {
            let mut tx = self.begin(without_followers).await?;
            let (moved, losers) = self.move_stock(&mut tx, update, by).await?;
            if without_followers || !moved.stock.level.is_allocatable() {
                break (tx, moved, losers);
            }
            // Orders wait for these units: again, so that nobody else changes their reservations.
            tx.rollback().await.map_err(|error| unavailable(&error.into()))?;
            without_followers = true;
        };
        let mut skus = BTreeSet::from([update.sku.clone()]);
        for line in losers.iter().flat_map(|loser| &loser.reservation.lines) {
            skus.insert(line.sku.clone());
        }
        let mut published = !losers.is_empty();
        let mut rest = Vec::new();
        if without_followers {
            let request_id = update.request_id.as_deref();
            let (stock, allocated) = self.allocate(&mut tx, &skus, request_id).await?;
            moved.stock.level = stock.level(&update.sku);
            moved.stock.elsewhere = stock.elsewhere(&update.sku);
            published |= allocated;
            rest = stock.allocatable();
        }
        if validate_only {
            return Ok((moved, losers));
        }
        if moved.outcome != MoveOutcome::Replayed {
            self.record_move(&mut tx, update, by, (&moved, losers.len())).await?;
        }
        self.commit(tx, skus.into_iter().collect()).await?;
        if published {
            self.outbox.committed();
        }
        self.allocate_rest(rest).await?;
        Ok((moved, losers))
    }

    async fn record_move(
        &self,
        tx: &mut Tx,
        update: &StockUpdate,
        by: &AskedBy,
        (moved, losers): (&MovedStock, usize),
    ) -> Result<(), Status> {
        let verb = match update.request {
            StockRequest::Set { .. } => Verb::SetStock,
            StockRequest::Adjust { .. } => Verb::AdjustStock,
        };
        let place = match update.location.is_main() {
            true => String::new(),
            false => format!(" at {}", update.location),
        };
        let before = on_hand(moved.before) + &place;
        let mut after = on_hand(moved.after) + &place;
        if losers > 0 {
            after.push_str(&format!(", {losers} orders lost their units"));
        }
        let (sku, reason) = (update.sku.as_str(), update.reason.as_str());
        self.record_action(tx, by, verb, sku, reason, (&before, &after)).await
    }

    /// Begins a change; without the followers, where it may change reservations. A process without a
    /// cache invalidates those of others.
    pub(super) async fn begin(&self, without_followers: bool) -> Result<Tx, Status> {
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
        updates.sort_by(|one, other| one.1.at().cmp(&other.1.at()));
        if let Some(pair) = updates.windows(2).find(|pair| pair[0].1.at() == pair[1].1.at()) {
            let field = format!("requests[{}].sku", pair[1].0);
            return Err(violation(&field, "the same product twice"));
        }
        let validate_only = requests.iter().filter(|request| request.validate_only).count();
        if validate_only != 0 && validate_only != requests.len() {
            return Err(violation("requests", "validate_only must be the same in all"));
        }
        let updates = Batch { updates, validate_only: validate_only != 0 };
        match self.try_many(by, &updates, false).await? {
            Some(answer) => Ok(answer),
            // Orders wait for some of these units: again, so that nobody else changes their
            // reservations.
            None => Ok(self.try_many(by, &updates, true).await?.unwrap_or_default()),
        }
    }

    /// Sets the stock of many products; none where that gives units to orders that wait, and the
    /// followers may change their reservations meanwhile.
    async fn try_many(
        &self,
        by: &AskedBy,
        Batch { updates, validate_only }: &Batch,
        without_followers: bool,
    ) -> Result<Option<proto::BatchSetStockResponse>, Status> {
        let mut tx = self.begin(without_followers).await?;
        let mut stock = BTreeMap::new();
        let mut replayed = Vec::new();
        let mut wanted = BTreeSet::new();
        let (mut before, mut after) = (0, 0);
        for (index, update) in updates {
            let (moved, _) = self.move_stock(&mut tx, update, by).await?;
            if moved.outcome == MoveOutcome::Replayed {
                replayed.push(u32::try_from(*index).unwrap_or(u32::MAX));
            }
            if moved.stock.level.is_allocatable() {
                wanted.insert(update.sku.clone());
            }
            before += moved.before;
            after += moved.after;
            // Where a product is set at several locations, the last answer has them all.
            stock.insert(&update.sku, rendered(&moved.stock));
        }
        replayed.sort_unstable();
        if !wanted.is_empty() && !without_followers {
            tx.rollback().await.map_err(|error| unavailable(&error.into()))?;
            return Ok(None);
        }
        let (levels, published) = self.allocate(&mut tx, &wanted, None).await?;
        for sku in &wanted {
            let (level, elsewhere) = (levels.level(sku), levels.elsewhere(sku));
            stock.insert(sku, rendered(&Stock { sku: sku.clone(), level, elsewhere }));
        }
        let mut in_order: Vec<_> = updates.iter().map(|(index, one)| (*index, &one.sku)).collect();
        in_order.sort_unstable();
        let stock = in_order.iter().filter_map(|(_, sku)| stock.get(sku).cloned()).collect();
        if *validate_only {
            return Ok(Some(proto::BatchSetStockResponse { stock, replayed }));
        }
        if replayed.len() < updates.len() {
            let target = products(updates);
            let reason = updates.first().map_or("", |(_, first)| first.reason.as_str());
            let same = updates.iter().all(|(_, one)| one.reason == reason);
            let (before, after) = (on_hand(before), on_hand(after));
            let change = (before.as_str(), after.as_str());
            let reason = if same { reason } else { "" };
            self.record_action(&mut tx, by, Verb::SetStock, &target, reason, change).await?;
        }
        self.commit(tx, updates.iter().map(|(_, update)| update.sku.clone()).collect()).await?;
        if published {
            self.outbox.committed();
        }
        self.allocate_rest(levels.allocatable()).await?;
        Ok(Some(proto::BatchSetStockResponse { stock, replayed }))
    }
}

/// The products of a batch by sku, each with the index of its request.
struct Batch {
    updates: Vec<(usize, StockUpdate)>,
    validate_only: bool,
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
