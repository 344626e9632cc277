//! The edge of the stock service: the only place that knows its proto.
//! Never here: rules about stock.

use std::collections::HashMap;
use std::sync::Arc;

use shared_events::contract::{OrderId, RequestId, Sku, TextRule, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::cache::{Found, StockCache};
use crate::domain::{Reservation, ReservationState};
use crate::store::{self, Movement, SetError, Stock, UNITS_MAX};

/// Messages and services of `ordinal.inventory.v1`, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ordinal.inventory.v1.rs"));
}

use proto::inventory_service_server::InventoryService;

/// The descriptors of `ordinal.inventory.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const BATCH_MAX: usize = 1_000;
const REASON_MAX: usize = 500;
/// The code of a malformed field.
const INVALID_FIELD: &str = "INVALID_FIELD";
/// The most malformed fields that a status shows.
const VIOLATIONS_SHOWN: usize = 20;

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
        sku: &Sku,
        movement: &Movement,
        request_id: &str,
    ) -> Result<(proto::Stock, bool), Status> {
        let moved =
            store::move_stock(&self.database, tx, sku, movement, request_id, (self.now)()).await;
        let field = match movement {
            Movement::Set { .. } => "on_hand",
            Movement::Adjust { .. } => "delta",
        };
        let (stock, replayed) = moved.map_err(|error| refused(&error, field))?;
        Ok((rendered(&stock), replayed))
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
        let sku = well_formed(parsed("sku", &sku))?;
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
        let size = match u32::try_from(request.page_size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => {
                let wanted =
                    format!("not below 0; 0 is {PAGE_DEFAULT}, and above {PAGE_MAX} is {PAGE_MAX}");
                return Err(malformed("page_size", &wanted));
            }
        };
        if !request.sku_prefix.is_empty() {
            well_formed(parsed::<Sku>("sku_prefix", &request.sku_prefix))?;
        }
        // The token is the prefix it belongs to and the last sku, so it fits no other list.
        let after = match request.page_token.as_str() {
            "" => "",
            token => token
                .strip_prefix(&request.sku_prefix)
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|after| after.parse::<Sku>().is_ok())
                .ok_or_else(|| malformed("page_token", "not a token of this list"))?,
        };
        let mut stock = store::list(&self.database, &request.sku_prefix, after, size + 1)
            .await
            .map_err(|error| away(&error))?;
        let page = usize::try_from(size).unwrap_or(usize::MAX);
        let more = stock.len() > page;
        stock.truncate(page);
        let next_page_token = stock
            .last()
            .filter(|_| more)
            .map(|last| format!("{}/{}", request.sku_prefix, last.sku))
            .unwrap_or_default();
        let stock = stock.iter().map(rendered).collect();
        Ok(Response::new(proto::ListStockResponse { stock, next_page_token }))
    }

    async fn set_stock(
        &self,
        request: Request<proto::SetStockRequest>,
    ) -> Result<Response<proto::SetStockResponse>, Status> {
        let request = request.into_inner();
        let (sku, movement) = well_formed(setting("", &request))?;
        let mut tx = self.begin().await?;
        let id = minted();
        let (stock, _) = self.move_stock(&mut tx, &sku, &movement, &id).await?;
        if !request.validate_only {
            self.commit(tx, vec![sku]).await?;
        }
        Ok(Response::new(proto::SetStockResponse { stock: Some(stock) }))
    }

    async fn batch_set_stock(
        &self,
        request: Request<proto::BatchSetStockRequest>,
    ) -> Result<Response<proto::BatchSetStockResponse>, Status> {
        let requests = request.into_inner().requests;
        if requests.is_empty() || requests.len() > BATCH_MAX {
            return Err(malformed("requests", "1 to 1,000 products"));
        }
        let mut violations = Vec::new();
        let mut settings = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match setting(&format!("requests[{index}]."), request) {
                Ok((sku, movement)) => settings.push((index, sku, movement)),
                Err(found) => violations.extend(found),
            }
        }
        well_formed(if violations.is_empty() { Ok(()) } else { Err(violations) })?;
        // Locked in sorted order, answered in the order of the requests.
        settings.sort_by(|one, other| one.1.cmp(&other.1));
        if let Some(pair) = settings.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            let field = format!("requests[{}].sku", pair[1].0);
            return Err(malformed(&field, "each product once"));
        }
        let mut tx = self.begin().await?;
        let mut answers = vec![proto::Stock::default(); requests.len()];
        for (index, sku, movement) in &settings {
            let (stock, _) = self.move_stock(&mut tx, sku, movement, &minted()).await?;
            if let Some(answer) = answers.get_mut(*index) {
                *answer = stock;
            }
        }
        if requests.iter().any(|request| request.validate_only) {
            if !requests.iter().all(|request| request.validate_only) {
                return Err(malformed("requests", "validate_only is the same for all"));
            }
        } else {
            let skus = settings.into_iter().map(|(_, sku, _)| sku).collect();
            self.commit(tx, skus).await?;
        }
        Ok(Response::new(proto::BatchSetStockResponse { stock: answers }))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Vec::new();
        let sku = parsed::<Sku>("sku", &request.sku).map_err(|found| violations.extend(found));
        if request.delta == 0 || request.delta.unsigned_abs() > UNITS_MAX.unsigned_abs() {
            violations.push(FieldViolation::new("delta", "not 0, at most 1,000,000,000,000"));
        }
        if let Err(error) = TextRule::line(REASON_MAX).check(&request.reason) {
            violations.push(FieldViolation::new("reason", error.to_string()));
        }
        let request_id = match request.request_id.as_str() {
            "" => Ok(minted()),
            id => parsed::<RequestId>("request_id", id).map(|id| id.to_string()),
        };
        let request_id = request_id.map_err(|found| violations.extend(found));
        let (Ok(sku), Ok(request_id), true) = (sku, request_id, violations.is_empty()) else {
            return well_formed(Err(violations));
        };
        let movement = Movement::Adjust { delta: request.delta, reason: request.reason };
        let mut tx = self.begin().await?;
        let (stock, replayed) = self.move_stock(&mut tx, &sku, &movement, &request_id).await?;
        if !request.validate_only {
            self.commit(tx, vec![sku]).await?;
        }
        Ok(Response::new(proto::AdjustStockResponse { stock: Some(stock), replayed }))
    }

    async fn get_reservation(
        &self,
        request: Request<proto::GetReservationRequest>,
    ) -> Result<Response<proto::GetReservationResponse>, Status> {
        let order_id: OrderId = well_formed(parsed("order_id", &request.into_inner().order_id))?;
        let found = store::get_reservation(&self.database, order_id)
            .await
            .map_err(|error| away(&error))?
            .ok_or_else(|| not_found("stock never heard of this order"))?;
        let reservation = Some(rendered_reservation(&found));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }
}

fn setting(
    path: &str,
    request: &proto::SetStockRequest,
) -> Result<(Sku, Movement), Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let sku = parsed::<Sku>(&format!("{path}sku"), &request.sku)
        .map_err(|found| violations.extend(found));
    if !(0..=UNITS_MAX).contains(&request.on_hand) {
        let field = format!("{path}on_hand");
        violations.push(FieldViolation::new(field, "0 to 1,000,000,000,000"));
    }
    match sku {
        Ok(sku) if violations.is_empty() => {
            let only_if_absent = request.only_if_absent;
            Ok((sku, Movement::Set { on_hand: request.on_hand, only_if_absent }))
        }
        _ => Err(violations),
    }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

fn minted() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Vec<FieldViolation>> {
    text.parse().map_err(|error: T::Err| {
        let what = if text.is_empty() { format!("required; {error}") } else { error.to_string() };
        vec![FieldViolation::new(field, what)]
    })
}

fn rendered(stock: &Stock) -> proto::Stock {
    proto::Stock {
        sku: stock.sku.to_string(),
        on_hand: stock.level.on_hand,
        reserved: stock.level.reserved,
        available: stock.level.available(),
    }
}

fn rendered_reservation(found: &Reservation) -> proto::Reservation {
    let state = match found.state {
        ReservationState::Waiting => proto::ReservationState::Waiting,
        ReservationState::Reserved => proto::ReservationState::Reserved,
        ReservationState::Rejected => proto::ReservationState::Rejected,
        ReservationState::Released => proto::ReservationState::Released,
    };
    let holds = found.state == ReservationState::Reserved;
    proto::Reservation {
        order_id: found.order_id.to_string(),
        reservation_id: found.reservation_id.to_string(),
        state: state.into(),
        lines: found
            .lines
            .iter()
            .map(|held| proto::ReservationLine {
                line: held.line,
                sku: held.sku.to_string(),
                quantity: held.quantity,
                held: if holds { held.open() } else { 0 },
                released: held.released,
                committed: held.committed,
                restocked: held.restocked,
            })
            .collect(),
        missing_skus: found.missing.iter().map(Sku::to_string).collect(),
    }
}

fn well_formed<T>(parsed: Result<T, Vec<FieldViolation>>) -> Result<T, Status> {
    parsed.map_err(|mut violations| {
        let total = violations.len();
        let told = HashMap::from([("violations".to_owned(), total.to_string())]);
        let message = violations.first().map_or_else(String::new, |first| {
            let more = if total > 1 { format!(" (and {} more)", total - 1) } else { String::new() };
            format!("{}: {}{more}", first.field, first.description)
        });
        // Statuses travel in headers.
        violations.truncate(VIOLATIONS_SHOWN);
        for violation in &mut violations {
            INVALID_FIELD.clone_into(&mut violation.reason);
        }
        let mut details = ErrorDetails::with_error_info(INVALID_FIELD, "ordinal", told);
        details.set_bad_request(violations);
        Status::with_error_details(Code::InvalidArgument, message, details)
    })
}

fn malformed(field: &str, description: &str) -> Status {
    let violations = vec![FieldViolation::new(field, description)];
    well_formed::<()>(Err(violations)).err().unwrap_or_else(|| Status::invalid_argument(field))
}

fn with_reason(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "ordinal", HashMap::new());
    Status::with_error_details(code, message, details)
}

fn not_found(message: &str) -> Status {
    with_reason(Code::NotFound, "NOT_FOUND", message)
}

fn away(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "stock database");
    let mut details = ErrorDetails::with_error_info("STOCK_UNAVAILABLE", "ordinal", HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_millis(500)));
    let message = "the stock database is not available";
    Status::with_error_details(Code::Unavailable, message, details)
}

fn refused(error: &SetError, field: &str) -> Status {
    match error {
        SetError::InsufficientStock { .. } => {
            with_reason(Code::FailedPrecondition, "INSUFFICIENT_STOCK", &error.to_string())
        }
        SetError::TooMany => malformed(field, &error.to_string()),
        SetError::RequestIdReused => {
            with_reason(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", &error.to_string())
        }
        SetError::Database(error) => away(error),
    }
}
