//! The edge of the stock service: the only place that knows its proto.
//! Never here: rules about stock.

mod parse; // what is asked, or every field at fault
mod refusal; // why not
mod render; // what is shown

use std::sync::Arc;

use service_edge::page::{Tokens, cut};
use service_edge::time::timestamp;
use service_edge::{Violations, violation};
use shared_events::contract::{OrderId, Sku, Timestamp};
use shared_events::stream::{AskedBy, Database, OperatorAction, Tx, Verb};
use tonic::{Request, Response, Status};

use crate::cache::{Found, StockCache};
use crate::movements::{self, MovementPlace};
use crate::store::{self, Asked, Moved, Movement, Outcome, Stock, UNITS_MAX};

use parse::{Setting, movement_place, page_size, parsed, setting, told};
use refusal::{away, not_found, refused};
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

/// The stock service as gRPC sees it.
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
            None => Found::Nothing,
        };
        if let Found::Stock(stock, read_at) = found {
            return Ok(Some((stock, read_at)));
        }
        let read_at = (self.now)();
        let stock = store::get(&self.database, sku).await.map_err(|error| away(&error))?;
        if let (Some(cache), Found::Absent(vacancy), Some(stock)) = (cache, found, &stock) {
            cache.fill(vacancy, stock.level, read_at).await;
        }
        Ok(stock.map(|stock| (stock, read_at)))
    }

    /// Commits a change of these products; who reads them afterwards sees it, by the cache as well.
    async fn commit(&self, tx: Tx, skus: Vec<Sku>) -> Result<(), Status> {
        let changing = self.cache.as_ref().map(|cache| cache.changing(skus));
        tx.commit().await.map_err(|error| away(&error.into()))?;
        if let Some(changing) = changing {
            changing.happened().await;
        }
        Ok(())
    }

    async fn move_stock(
        &self,
        tx: &mut Tx,
        setting: &Setting,
        by: &AskedBy,
    ) -> Result<Moved, Status> {
        let by = by.to_string();
        let (sku, movement, reason) = (&setting.sku, &setting.movement, setting.reason.as_str());
        let asked = Asked { by: &by, reason, request_id: setting.request_id.as_deref() };
        let moved = store::move_stock(&self.database, tx, sku, movement, asked, (self.now)()).await;
        let field = match movement {
            Movement::Set { .. } => "on_hand",
            Movement::Adjust { .. } => "delta",
        };
        moved.map_err(|error| refused(&error, field))
    }

    /// What operators do is written down with its effect, once for a call.
    async fn note(
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
        written.map_err(|error| away(&error))
    }

    /// Moves the stock of one product.
    async fn move_one(
        &self,
        setting: &Setting,
        by: &AskedBy,
        validate_only: bool,
    ) -> Result<Moved, Status> {
        let mut tx = self.begin().await?;
        let moved = self.move_stock(&mut tx, setting, by).await?;
        if validate_only {
            return Ok(moved);
        }
        if moved.outcome != Outcome::Replayed {
            let verb = match setting.movement {
                Movement::Set { .. } => Verb::SetStock,
                Movement::Adjust { .. } => Verb::AdjustStock,
            };
            let before = on_hand(moved.before);
            let after = on_hand(moved.stock.level.on_hand);
            let (sku, reason) = (setting.sku.as_str(), setting.reason.as_str());
            self.note(&mut tx, by, verb, sku, reason, (&before, &after)).await?;
        }
        self.commit(tx, vec![setting.sku.clone()]).await?;
        Ok(moved)
    }

    /// Begins a change. Where this process has no cache another one may have.
    async fn begin(&self) -> Result<Tx, Status> {
        let begun = async {
            let mut tx = self.database.begin().await?;
            match &self.cache {
                Some(_) => store::hold_generation(&self.database, &mut tx).await?,
                None => store::void_generation(&mut tx).await?,
            }
            Ok(tx)
        };
        begun.await.map_err(|error| away(&error))
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
        let (stock, read_at) =
            found.ok_or_else(|| not_found("nothing was ever said of this product"))?;
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
            .map_err(|error| away(&error))?;
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
        let by = asked_by(&request);
        let request = request.into_inner();
        let setting = setting("", &request)?;
        let moved = self.move_one(&setting, &by, request.validate_only).await?;
        let replayed = moved.outcome == Outcome::Replayed;
        let stock = Some(rendered(&moved.stock));
        Ok(Response::new(proto::SetStockResponse { stock, replayed }))
    }

    async fn batch_set_stock(
        &self,
        request: Request<proto::BatchSetStockRequest>,
    ) -> Result<Response<proto::BatchSetStockResponse>, Status> {
        let by = asked_by(&request);
        let requests = request.into_inner().requests;
        if requests.is_empty() || requests.len() > BATCH_MAX {
            return Err(violation("requests", "1 to 1,000 products"));
        }
        let mut violations = Violations::default();
        let mut settings = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match setting(&format!("requests[{index}]."), request) {
                Ok(setting) => settings.push((index, setting)),
                Err(found) => violations.extend(found),
            }
        }
        violations.none_or()?;
        // Locked in sorted order, answered in the order of the requests.
        settings.sort_by(|one, other| one.1.sku.cmp(&other.1.sku));
        if let Some(pair) = settings.windows(2).find(|pair| pair[0].1.sku == pair[1].1.sku) {
            let field = format!("requests[{}].sku", pair[1].0);
            return Err(violation(&field, "each product once"));
        }
        let mut tx = self.begin().await?;
        let mut answers = vec![proto::Stock::default(); requests.len()];
        let mut replayed = Vec::new();
        let (mut before, mut after) = (0, 0);
        for (index, setting) in &settings {
            let moved = self.move_stock(&mut tx, setting, &by).await?;
            if moved.outcome == Outcome::Replayed {
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
                return Err(violation("requests", "validate_only is the same for all"));
            }
        } else {
            if replayed.len() < settings.len() {
                let target = products(&settings);
                let reason = settings.first().map_or("", |(_, first)| first.reason.as_str());
                let reason =
                    if settings.iter().all(|(_, one)| one.reason == reason) { reason } else { "" };
                let (before, after) = (on_hand(before), on_hand(after));
                let change = (before.as_str(), after.as_str());
                self.note(&mut tx, &by, Verb::SetStock, &target, reason, change).await?;
            }
            let skus = settings.into_iter().map(|(_, setting)| setting.sku).collect();
            self.commit(tx, skus).await?;
        }
        Ok(Response::new(proto::BatchSetStockResponse { stock: answers, replayed }))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let by = asked_by(&request);
        let request = request.into_inner();
        let mut violations = Violations::default();
        let sku = violations.parsed::<Sku>("sku", &request.sku);
        if request.delta == 0 || request.delta.unsigned_abs() > UNITS_MAX.unsigned_abs() {
            violations.wrong("delta", "not 0, at most 1,000,000,000,000");
        }
        let told = told("", &request.reason, &request.request_id, &mut violations);
        let (Some(sku), true) = (sku, violations.is_empty()) else {
            return Err(violations.into());
        };
        let movement = Movement::Adjust { delta: request.delta };
        let setting = Setting { sku, movement, reason: request.reason, request_id: told };
        let moved = self.move_one(&setting, &by, request.validate_only).await?;
        let replayed = moved.outcome == Outcome::Replayed;
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
        let before = tokens.place(&request.page_token, movement_place)?;
        let stock = store::get(&self.database, &sku).await.map_err(|error| away(&error))?;
        let stock = stock.ok_or_else(|| not_found("nothing was ever said of this product"))?;
        let sums = movements::sums(&self.database, &sku).await.map_err(|error| away(&error))?;
        let one_more = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        let found = movements::list(&self.database, &sku, before, one_more).await;
        let mut found = found.map_err(|error| away(&error))?;
        let more = cut(&mut found, size);
        let token =
            |MovementPlace { number, index }| tokens.after(format_args!("{number}.{index}"));
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| token(last.place)).unwrap_or_default();
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
            .map_err(|error| away(&error))?
            .ok_or_else(|| not_found("stock never heard of this order"))?;
        let reservation = Some(rendered_reservation(&found));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }
}

fn asked_by<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<AskedBy>().cloned().unwrap_or_default()
}

fn on_hand(units: i64) -> String {
    format!("{units} on hand")
}

/// The products of a batch, as operators read them.
fn products(settings: &[(usize, Setting)]) -> String {
    match settings {
        [(_, only)] => only.sku.to_string(),
        [(_, first), .., (_, last)] => {
            format!("{} products from {} to {}", settings.len(), first.sku, last.sku)
        }
        [] => String::new(),
    }
}
