//! The edge of the stock service: the only place that knows its proto.
//! Never here: rules about stock.

mod backorder; // units beyond the stock, and what comes for those that wait
mod change; // setting and adjusting stock
mod locations; // where stock may be
mod parse; // requests → what the store takes, or every field at fault
mod refusal; // errors → statuses
mod render; // stock, movements, reservations → messages

use std::sync::Arc;

use service_edge::page::{Tokens, cut, page_size};
use service_edge::time::timestamp;
use service_edge::{parsed, traceparent, tracestate};
use shared_events::contract::{OrderId, Sku, Timestamp};
use shared_events::stream::{AskedBy, Database, Outbox};
use tonic::{Request, Response, Status};

use crate::cache::{CacheLookup, StockCache};
use crate::movements::{self, MovementPosition};
use crate::store::{self, MoveOutcome, Stock};

use parse::{
    StockUpdate, adjust_request, backorder_request, location_request, movement_position,
    set_request,
};
use refusal::{not_found, unavailable};
use render::{rendered, rendered_holder, rendered_loser, rendered_movement, rendered_reservation};

/// Messages and services of `ordinal.inventory.v1`, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ordinal.inventory.v1.rs"));
}

use proto::inventory_service_server::InventoryService;

/// The descriptors of `ordinal.inventory.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const NO_STOCK: &str = "no stock of this product was ever set";

/// The gRPC service.
pub struct StockEdge {
    database: Database,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    cache: Option<StockCache>,
    outbox: Outbox,
}

impl StockEdge {
    pub(crate) const fn new(
        database: Database,
        outbox: Outbox,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        cache: Option<StockCache>,
    ) -> Self {
        Self { database, now, cache, outbox }
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
        // Values of the cache have no locations.
        let cacheable = stock.as_ref().filter(|stock| stock.elsewhere.is_empty());
        if let (Some(cache), CacheLookup::Miss(token), Some(stock)) = (cache, found, cacheable) {
            cache.fill(token, stock.level, read_at).await;
        }
        Ok(stock.map(|stock| (stock, read_at)))
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
        let prefix = match request.sku_prefix.as_str() {
            "" => None,
            prefix => Some(parsed::<Sku>("sku_prefix", prefix)?),
        };
        let prefix = prefix.as_ref().map_or("", Sku::as_str);
        let tokens = Tokens::of(prefix);
        let after = tokens.place(&request.page_token, |place| place.parse::<Sku>().ok())?;
        let after = after.as_ref().map_or("", Sku::as_str);
        let mut stock = store::list(&self.database, prefix, after, size + 1)
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
        let (by, traceparent) = (caller(&request), traceparent(&request));
        let tracestate = tracestate(&request);
        let request = request.into_inner();
        let update = StockUpdate { traceparent, tracestate, ..set_request("", &request)? };
        let (moved, losers) = self.move_one(&update, &by, request.validate_only).await?;
        let replayed = moved.outcome == MoveOutcome::Replayed;
        let stock = Some(rendered(&moved.stock));
        let losers = losers.iter().map(rendered_loser).collect();
        Ok(Response::new(proto::SetStockResponse { stock, replayed, losers }))
    }

    async fn batch_set_stock(
        &self,
        request: Request<proto::BatchSetStockRequest>,
    ) -> Result<Response<proto::BatchSetStockResponse>, Status> {
        let by = caller(&request);
        let answer = self.set_many(&by, request.into_inner().requests).await?;
        Ok(Response::new(answer))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let update = adjust_request(&request)?;
        let (moved, _) = self.move_one(&update, &by, request.validate_only).await?;
        let replayed = moved.outcome == MoveOutcome::Replayed;
        let stock = Some(rendered(&moved.stock));
        Ok(Response::new(proto::AdjustStockResponse { stock, replayed }))
    }

    async fn set_backorder(
        &self,
        request: Request<proto::SetBackorderRequest>,
    ) -> Result<Response<proto::SetBackorderResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let update = backorder_request(&request)?;
        Ok(Response::new(self.set_rule(&update, &by, request.validate_only).await?))
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

    async fn list_stock_holders(
        &self,
        request: Request<proto::ListStockHoldersRequest>,
    ) -> Result<Response<proto::ListStockHoldersResponse>, Status> {
        let request = request.into_inner();
        let sku = parsed::<Sku>("sku", &request.sku)?;
        let size = page_size(request.page_size)?;
        let tokens = Tokens::of(&sku);
        let after = tokens.place(&request.page_token, |place| place.parse::<OrderId>().ok())?;
        let stock = store::get(&self.database, &sku).await.map_err(|error| unavailable(&error))?;
        let stock = stock.ok_or_else(|| not_found(NO_STOCK))?;
        let one_more = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        let found = async {
            let mut reader = self.database.reader().acquire().await?;
            store::holders(&self.database, &mut reader, &sku, after, one_more).await
        };
        let mut found = found.await.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(last.order_id)).unwrap_or_default();
        let holders = found.iter().map(|one| rendered_holder(one, &sku)).collect();
        let stock = Some(rendered(&stock));
        Ok(Response::new(proto::ListStockHoldersResponse { holders, next_page_token, stock }))
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

    async fn set_location(
        &self,
        request: Request<proto::SetLocationRequest>,
    ) -> Result<Response<proto::SetLocationResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let update = location_request(&request)?;
        Ok(Response::new(self.put_location(&update, &by, request.validate_only).await?))
    }

    async fn list_locations(
        &self,
        _request: Request<proto::ListLocationsRequest>,
    ) -> Result<Response<proto::ListLocationsResponse>, Status> {
        Ok(Response::new(self.all_locations().await?))
    }
}

fn caller<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<AskedBy>().cloned().unwrap_or_default()
}
