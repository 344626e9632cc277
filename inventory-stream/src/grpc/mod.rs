//! The edge of the stock service: the only place that knows its proto.
//! Never here: rules about stock.

mod parse; // requests → what the store takes, or every field at fault
mod refusal; // errors → statuses
mod render; // stock, movements, reservations → messages

use std::sync::Arc;

use service_edge::page::{Tokens, cut};
use service_edge::time::timestamp;
use service_edge::{Violations, violation};
use shared_events::contract::{OrderId, Sku, Timestamp};
use shared_events::stream::{AskedBy, Database, OperatorAction, Tx, Verb};
use tonic::{Request, Response, Status};

use crate::cache::{CacheLookup, StockCache};
use crate::movements::{self, MovementPosition};
use crate::store::{self, MoveOutcome, MovedStock, RequestDetails, Stock, StockRequest};

use parse::{StockUpdate, adjust_request, movement_position, page_size, parsed, set_request};
use refusal::{move_status, not_found, unavailable};
use render::{rendered, rendered_movement, rendered_reservation};

/// Messages and services of `ordinal.inventory.v1`, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ordinal.inventory.v1.rs"));
}

use proto::inventory_service_server::InventoryService;

/// The descriptors of `ordinal.inventory.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const BATCH_MAX: usize = 1_000;
const NO_STOCK: &str = "no stock of this product was ever set";

/// The gRPC service.
pub struct StockEdge {
    database: Database,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    cache: Option<StockCache>,
}

impl StockEdge {
    pub(crate) const fn new(
        database: Database,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        cache: Option<StockCache>,
    ) -> Self {
        Self { database, now, cache }
    }

    /// The stock of a product, and when it was read from the database.
    async fn read(&self, sku: &Sku, fresh: bool) -> Result<Option<(Stock, Timestamp)>, Status> {
        let cache = self.cache.as_ref().filter(|_| !fresh);
        let found = match cache {
            Some(cache) => cache.find(sku).await,
            None => CacheLookup::Unusable,
        };
        if let CacheLookup::Hit(stock, read_at) = found {
            return Ok(Some((stock, read_at)));
        }
        let read_at = (self.now)();
        let stock = store::get(&self.database, sku).await.map_err(|error| unavailable(&error))?;
        if let (Some(cache), CacheLookup::Miss(token), Some(stock)) = (cache, found, &stock) {
            cache.fill(token, stock.level, read_at).await;
        }
        Ok(stock.map(|stock| (stock, read_at)))
    }

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
    ) -> Result<MovedStock, Status> {
        let by = by.to_string();
        let (sku, asked, reason) = (&update.sku, &update.request, update.reason.as_str());
        let details = RequestDetails { by: &by, reason, request_id: update.request_id.as_deref() };
        let moved = store::move_stock(&self.database, tx, sku, asked, details, (self.now)()).await;
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
    async fn move_one(
        &self,
        update: &StockUpdate,
        by: &AskedBy,
        validate_only: bool,
    ) -> Result<MovedStock, Status> {
        let mut tx = self.begin().await?;
        let moved = self.move_stock(&mut tx, update, by).await?;
        if validate_only {
            return Ok(moved);
        }
        if moved.outcome != MoveOutcome::Replayed {
            let verb = match update.request {
                StockRequest::Set { .. } => Verb::SetStock,
                StockRequest::Adjust { .. } => Verb::AdjustStock,
            };
            let before = on_hand(moved.before);
            let after = on_hand(moved.stock.level.on_hand);
            let (sku, reason) = (update.sku.as_str(), update.reason.as_str());
            self.record_action(&mut tx, by, verb, sku, reason, (&before, &after)).await?;
        }
        self.commit(tx, vec![update.sku.clone()]).await?;
        Ok(moved)
    }

    /// Begins a change. A process without a cache invalidates those of others.
    async fn begin(&self) -> Result<Tx, Status> {
        let begun = async {
            let mut tx = self.database.begin().await?;
            match &self.cache {
                Some(_) => store::hold_generation(&self.database, &mut tx).await?,
                None => store::void_generation(&mut tx).await?,
            }
            Ok(tx)
        };
        begun.await.map_err(|error| unavailable(&error))
    }
}

#[tonic::async_trait]
impl InventoryService for StockEdge {
    async fn get_stock(
        &self,
        request: Request<proto::GetStockRequest>,
    ) -> Result<Response<proto::GetStockResponse>, Status> {
        let proto::GetStockRequest { sku, fresh } = request.into_inner();
        let sku = parsed("sku", &sku)?;
        let found = self.read(&sku, fresh).await?;
        let (stock, read_at) = found.ok_or_else(|| not_found(NO_STOCK))?;
        let (stock, read_at) = (Some(rendered(&stock)), Some(timestamp(read_at)));
        Ok(Response::new(proto::GetStockResponse { stock, read_at }))
    }

    async fn list_stock(
        &self,
        request: Request<proto::ListStockRequest>,
    ) -> Result<Response<proto::ListStockResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        if !request.sku_prefix.is_empty() {
            parsed::<Sku>("sku_prefix", &request.sku_prefix)?;
        }
        let tokens = Tokens::of(&request.sku_prefix);
        let after = tokens.place(&request.page_token, |place| place.parse::<Sku>().ok())?;
        let after = after.as_ref().map_or("", Sku::as_str);
        let mut stock = store::list(&self.database, &request.sku_prefix, after, size + 1)
            .await
            .map_err(|error| unavailable(&error))?;
        let more = cut(&mut stock, size);
        let last = stock.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(&last.sku)).unwrap_or_default();
        let stock = stock.iter().map(rendered).collect();
        Ok(Response::new(proto::ListStockResponse { stock, next_page_token }))
    }

    async fn set_stock(
        &self,
        request: Request<proto::SetStockRequest>,
    ) -> Result<Response<proto::SetStockResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let update = set_request("", &request)?;
        let moved = self.move_one(&update, &by, request.validate_only).await?;
        let replayed = moved.outcome == MoveOutcome::Replayed;
        let stock = Some(rendered(&moved.stock));
        Ok(Response::new(proto::SetStockResponse { stock, replayed }))
    }

    async fn batch_set_stock(
        &self,
        request: Request<proto::BatchSetStockRequest>,
    ) -> Result<Response<proto::BatchSetStockResponse>, Status> {
        let by = caller(&request);
        let requests = request.into_inner().requests;
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
        let mut tx = self.begin().await?;
        let mut answers = vec![proto::Stock::default(); requests.len()];
        let mut replayed = Vec::new();
        let (mut before, mut after) = (0, 0);
        for (index, update) in &updates {
            let moved = self.move_stock(&mut tx, update, &by).await?;
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
                self.record_action(&mut tx, &by, Verb::SetStock, &target, reason, change).await?;
            }
            let skus = updates.into_iter().map(|(_, update)| update.sku).collect();
            self.commit(tx, skus).await?;
        }
        Ok(Response::new(proto::BatchSetStockResponse { stock: answers, replayed }))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let update = adjust_request(&request)?;
        let moved = self.move_one(&update, &by, request.validate_only).await?;
        let replayed = moved.outcome == MoveOutcome::Replayed;
        let stock = Some(rendered(&moved.stock));
        Ok(Response::new(proto::AdjustStockResponse { stock, replayed }))
    }

    async fn list_movements(
        &self,
        request: Request<proto::ListMovementsRequest>,
    ) -> Result<Response<proto::ListMovementsResponse>, Status> {
        let request = request.into_inner();
        let sku = parsed::<Sku>("sku", &request.sku)?;
        let size = page_size(request.page_size)?;
        let tokens = Tokens::of(&sku);
        let before = tokens.place(&request.page_token, movement_position)?;
        let stock = store::get(&self.database, &sku).await.map_err(|error| unavailable(&error))?;
        let stock = stock.ok_or_else(|| not_found(NO_STOCK))?;
        let sums =
            movements::sums(&self.database, &sku).await.map_err(|error| unavailable(&error))?;
        let one_more = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        let found = movements::list(&self.database, &sku, before, one_more).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let token =
            |MovementPosition { number, index }| tokens.after(format_args!("{number}.{index}"));
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| token(last.position)).unwrap_or_default();
        Ok(Response::new(proto::ListMovementsResponse {
            movements: found.into_iter().map(rendered_movement).collect(),
            next_page_token,
            stock: Some(rendered(&stock)),
            adjusted: sums.adjusted,
            committed: sums.committed,
            restocked: sums.restocked,
        }))
    }

    async fn get_reservation(
        &self,
        request: Request<proto::GetReservationRequest>,
    ) -> Result<Response<proto::GetReservationResponse>, Status> {
        let order_id: OrderId = parsed("order_id", &request.into_inner().order_id)?;
        let found = store::get_reservation(&self.database, order_id)
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or_else(|| not_found("stock knows no such order"))?;
        let reservation = Some(rendered_reservation(&found));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }
}

fn caller<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<AskedBy>().cloned().unwrap_or_default()
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
