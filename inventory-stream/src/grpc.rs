//! The edge of the stock service: the only place that knows its proto.
//! Never here: rules about stock.

use std::collections::HashMap;
use std::sync::Arc;

use shared_events::contract::{OrderId, RequestId, Sku, TextRule, Timestamp};
use shared_events::stream::{AskedBy, Database, DatabaseError, OperatorAction, Tx, Verb};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::cache::{Found, StockCache};
use crate::domain::{Reservation, ReservationState};
use crate::movements::{self, Cause, Did, MovementPlace, StockMovement};
use crate::store::{self, Asked, Moved, Movement, Outcome, SetError, Stock, UNITS_MAX};

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
        let size = page_size(request.page_size)?;
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
        let by = asked_by(&request);
        let request = request.into_inner();
        let setting = well_formed(setting("", &request))?;
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
            return Err(malformed("requests", "1 to 1,000 products"));
        }
        let mut violations = Vec::new();
        let mut settings = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match setting(&format!("requests[{index}]."), request) {
                Ok(setting) => settings.push((index, setting)),
                Err(found) => violations.extend(found),
            }
        }
        well_formed(if violations.is_empty() { Ok(()) } else { Err(violations) })?;
        // Locked in sorted order, answered in the order of the requests.
        settings.sort_by(|one, other| one.1.sku.cmp(&other.1.sku));
        if let Some(pair) = settings.windows(2).find(|pair| pair[0].1.sku == pair[1].1.sku) {
            let field = format!("requests[{}].sku", pair[1].0);
            return Err(malformed(&field, "each product once"));
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
                return Err(malformed("requests", "validate_only is the same for all"));
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
        let mut violations = Vec::new();
        let sku = parsed::<Sku>("sku", &request.sku).map_err(|found| violations.extend(found));
        if request.delta == 0 || request.delta.unsigned_abs() > UNITS_MAX.unsigned_abs() {
            violations.push(FieldViolation::new("delta", "not 0, at most 1,000,000,000,000"));
        }
        let told = told("", &request.reason, &request.request_id, &mut violations);
        let (Ok(sku), true) = (sku, violations.is_empty()) else {
            return well_formed(Err(violations));
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
        let sku = well_formed(parsed::<Sku>("sku", &request.sku))?;
        let size = page_size(request.page_size)?;
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(
                movement_place(&sku, token)
                    .ok_or_else(|| malformed("page_token", "not a token of this list"))?,
            ),
        };
        let stock = store::get(&self.database, &sku).await.map_err(|error| away(&error))?;
        let stock = stock.ok_or_else(|| not_found("nothing was ever said of this product"))?;
        let sums = movements::sums(&self.database, &sku).await.map_err(|error| away(&error))?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let found = movements::list(&self.database, &sku, before, size.saturating_add(1)).await;
        let mut found = found.map_err(|error| away(&error))?;
        let more = found.len() > size;
        found.truncate(size);
        let next_page_token = found
            .last()
            .filter(|_| more)
            .map(|last| format!("{sku}/{}.{}", last.place.number, last.place.index))
            .unwrap_or_default();
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
        let order_id: OrderId = well_formed(parsed("order_id", &request.into_inner().order_id))?;
        let found = store::get_reservation(&self.database, order_id)
            .await
            .map_err(|error| away(&error))?
            .ok_or_else(|| not_found("stock never heard of this order"))?;
        let reservation = Some(rendered_reservation(&found));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }
}

/// What is asked of one product.
struct Setting {
    sku: Sku,
    movement: Movement,
    reason: String,
    request_id: Option<String>,
}

fn setting(path: &str, request: &proto::SetStockRequest) -> Result<Setting, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let sku = parsed::<Sku>(&format!("{path}sku"), &request.sku)
        .map_err(|found| violations.extend(found));
    let units = 0..=UNITS_MAX;
    let expected = request.expected_on_hand;
    let both = [("on_hand", Some(request.on_hand)), ("expected_on_hand", expected)];
    for (field, number) in both {
        if number.is_some_and(|number| !units.contains(&number)) {
            let field = format!("{path}{field}");
            violations.push(FieldViolation::new(field, "0 to 1,000,000,000,000"));
        }
    }
    if request.only_if_absent && expected.is_some() {
        let field = format!("{path}expected_on_hand");
        violations.push(FieldViolation::new(field, "not beside only_if_absent"));
    }
    let request_id = told(path, &request.reason, &request.request_id, &mut violations);
    match sku {
        Ok(sku) if violations.is_empty() => {
            let (on_hand, only_if_absent) = (request.on_hand, request.only_if_absent);
            let movement = Movement::Set { on_hand, only_if_absent, expected };
            Ok(Setting { sku, movement, reason: request.reason.clone(), request_id })
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

/// The request id, if there is one; what is wrong with it or with the reason is added.
fn told(
    path: &str,
    reason: &str,
    request_id: &str,
    violations: &mut Vec<FieldViolation>,
) -> Option<String> {
    if let Err(error) = TextRule::line(REASON_MAX).check(reason) {
        violations.push(FieldViolation::new(format!("{path}reason"), error.to_string()));
    }
    if request_id.is_empty() {
        return None;
    }
    let id = parsed::<RequestId>(&format!("{path}request_id"), request_id);
    id.map_err(|found| violations.extend(found)).ok().map(|id| id.to_string())
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

fn page_size(asked: i32) -> Result<u32, Status> {
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_MAX)),
        Err(_) => {
            let wanted =
                format!("not below 0; 0 is {PAGE_DEFAULT}, and above {PAGE_MAX} is {PAGE_MAX}");
            Err(malformed("page_size", &wanted))
        }
    }
}

/// The place that a token of the list of a product's movements names.
fn movement_place(sku: &Sku, token: &str) -> Option<MovementPlace> {
    let (number, index) = token.strip_prefix(sku.as_str())?.strip_prefix('/')?.split_once('.')?;
    Some(MovementPlace { number: number.parse().ok()?, index: index.parse().ok()? })
}

fn rendered_movement(movement: StockMovement) -> proto::Movement {
    use proto::MovementCause as Shown;
    let cause = match (movement.cause, movement.fact.as_ref().map(|fact| fact.did)) {
        (_, Some(Did::Reserved)) => Shown::Reserved,
        (_, Some(Did::Released)) => Shown::Released,
        (_, Some(Did::Committed)) => Shown::Committed,
        (_, Some(Did::Restocked)) => Shown::Restocked,
        (Cause::Set, None) => Shown::Set,
        (Cause::Adjusted, None) => Shown::Adjusted,
        (Cause::SetBack, None) => Shown::SetBack,
        (Cause::Earlier, None) => Shown::Earlier,
        (Cause::Orders, None) => Shown::Unspecified,
    };
    let after = movement.after.unzip();
    let (order_id, fact_id, fact_shard, fact_position) =
        movement.fact.map_or_else(Default::default, |fact| {
            (fact.order_id, fact.id, u32::from(fact.shard), fact.position)
        });
    proto::Movement {
        number: movement.place.number,
        index: movement.place.index,
        at: Some(timestamp(movement.at)),
        cause: cause.into(),
        on_hand_change: movement.on_hand_change,
        reserved_change: movement.reserved_change,
        on_hand: after.0,
        reserved: after.1,
        order_id,
        fact_id,
        fact_shard,
        fact_position,
        reason: movement.reason,
        asked_by: movement.asked_by,
        request_id: movement.request_id,
    }
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
    told_with(code, reason, message, HashMap::new())
}

fn told_with(code: Code, reason: &str, message: &str, told: HashMap<String, String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, "ordinal", told);
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
        SetError::OnHandMismatch { sku, expected, on_hand } => {
            let told = [
                ("sku", sku.to_string()),
                ("expected", expected.to_string()),
                ("actual", on_hand.to_string()),
            ];
            let told = told.map(|(key, value)| (key.to_owned(), value)).into();
            told_with(Code::Aborted, "ON_HAND_MISMATCH", &error.to_string(), told)
        }
        SetError::RequestIdReused { .. } => {
            with_reason(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", &error.to_string())
        }
        SetError::Database(error) => away(error),
    }
}
