use service_edge::Violations;
use shared_events::contract::{LocationName, RequestId, Sku, Timestamp};

use super::proto;
use crate::domain::BackorderRule;
use crate::movements::MovementPosition;
use crate::store::{PRIORITY_MAX, StockRequest, UNITS_MAX};

/// A request about the stock of one product.
pub(super) struct StockUpdate {
    pub(super) sku: Sku,
    pub(super) location: LocationName,
    pub(super) request: StockRequest,
    pub(super) reason: String,
    pub(super) request_id: Option<String>,
    /// The trace of the call, where the stock-take may take units from orders.
    pub(super) traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub(super) tracestate: Option<String>,
}

impl StockUpdate {
    /// The product and the location.
    pub(super) const fn at(&self) -> (&Sku, &LocationName) {
        (&self.sku, &self.location)
    }
}

pub(super) fn set_request(
    path: &str,
    request: &proto::SetStockRequest,
) -> Result<StockUpdate, Violations> {
    let mut violations = Violations::default();
    let sku = violations.parsed::<Sku>(&format!("{path}sku"), &request.sku);
    let expected = request.expected_on_hand;
    units(path, "on_hand", Some(request.on_hand), &mut violations);
    units(path, "expected_on_hand", expected, &mut violations);
    if request.only_if_absent && expected.is_some() {
        violations.wrong(format!("{path}expected_on_hand"), "not together with only_if_absent");
    }
    if request.allow_shortage && !path.is_empty() {
        violations.wrong(format!("{path}allow_shortage"), "not in a batch: set the product alone");
    }
    let reason = violations.reason(&format!("{path}reason"), &request.reason);
    let request_id = request_id(path, &request.request_id, &mut violations);
    let location = location(path, &request.location, &mut violations);
    match sku {
        Some(sku) if violations.is_empty() => {
            let (on_hand, only_if_absent) = (request.on_hand, request.only_if_absent);
            let allow_shortage = request.allow_shortage;
            let request = StockRequest::Set { on_hand, only_if_absent, expected, allow_shortage };
            let (traceparent, tracestate) = (None, None);
            Ok(StockUpdate { sku, location, request, reason, request_id, traceparent, tracestate })
        }
        _ => Err(violations),
    }
}

pub(super) fn adjust_request(
    request: &proto::AdjustStockRequest,
) -> Result<StockUpdate, Violations> {
    let mut violations = Violations::default();
    let sku = violations.parsed::<Sku>("sku", &request.sku);
    if request.delta == 0 || request.delta.unsigned_abs() > UNITS_MAX.unsigned_abs() {
        violations.wrong("delta", "not 0, at most 1,000,000,000,000");
    }
    let expected = request.expected_on_hand;
    units("", "expected_on_hand", expected, &mut violations);
    let reason = violations.reason("reason", &request.reason);
    let request_id = request_id("", &request.request_id, &mut violations);
    let location = location("", &request.location, &mut violations);
    match sku {
        Some(sku) if violations.is_empty() => {
            let request = StockRequest::Adjust { delta: request.delta, expected };
            let (traceparent, tracestate) = (None, None);
            Ok(StockUpdate { sku, location, request, reason, request_id, traceparent, tracestate })
        }
        _ => Err(violations),
    }
}

/// A request about how many units of a product may be backordered.
pub(super) struct BackorderUpdate {
    pub(super) sku: Sku,
    pub(super) rule: BackorderRule,
    pub(super) reason: String,
    pub(super) request_id: Option<String>,
}

pub(super) fn backorder_request(
    request: &proto::SetBackorderRequest,
) -> Result<BackorderUpdate, Violations> {
    let mut violations = Violations::default();
    let sku = violations.parsed::<Sku>("sku", &request.sku);
    let limit = request.backorder_limit;
    units("", "backorder_limit", Some(limit), &mut violations);
    let until = request.backorder_until.as_ref();
    let until = until.and_then(|until| instant("backorder_until", until, &mut violations));
    if limit == 0 && request.backorder_until.is_some() {
        violations.wrong("backorder_until", "not together with a limit of 0");
    }
    let reason = violations.reason("reason", &request.reason);
    let request_id = request_id("", &request.request_id, &mut violations);
    match sku {
        Some(sku) if violations.is_empty() => {
            Ok(BackorderUpdate { sku, rule: BackorderRule { limit, until }, reason, request_id })
        }
        _ => Err(violations),
    }
}

/// A location to add or change.
pub(super) struct LocationUpdate {
    pub(super) name: LocationName,
    pub(super) priority: Option<i64>,
    pub(super) reason: String,
}

pub(super) fn location_request(
    request: &proto::SetLocationRequest,
) -> Result<LocationUpdate, Violations> {
    let mut violations = Violations::default();
    let name = violations.parsed::<LocationName>("name", &request.name);
    let priority = request.priority.map(i64::from);
    if priority.is_some_and(|priority| !(0..=PRIORITY_MAX).contains(&priority)) {
        violations.wrong("priority", "0 to 1,000,000");
    }
    let reason = violations.reason("reason", &request.reason);
    match name {
        Some(name) if violations.is_empty() => Ok(LocationUpdate { name, priority, reason }),
        _ => Err(violations),
    }
}

/// The named location; `main` where none is named.
fn location(path: &str, name: &str, violations: &mut Violations) -> LocationName {
    if name.is_empty() {
        return LocationName::main();
    }
    violations.parsed(&format!("{path}location"), name).unwrap_or_default()
}

/// Checks a number of units, where there is one.
fn units(path: &str, field: &str, number: Option<i64>, violations: &mut Violations) {
    if number.is_some_and(|number| !(0..=UNITS_MAX).contains(&number)) {
        violations.wrong(format!("{path}{field}"), "0 to 1,000,000,000,000");
    }
}

fn instant(
    field: &str,
    time: &prost_types::Timestamp,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let instant = service_edge::time::instant(time);
    if instant.is_none() {
        violations.wrong(field, "an instant of the years 1 to 9999 with nanos of 0 to 999,999,999");
    }
    instant
}

/// The request id in its normal form, if there is one.
fn request_id(path: &str, request_id: &str, violations: &mut Violations) -> Option<String> {
    if request_id.is_empty() {
        return None;
    }
    let id = violations.parsed::<RequestId>(&format!("{path}request_id"), request_id);
    id.map(|id| id.to_string())
}

/// The position that a page token of a product's movements names.
pub(super) fn movement_position(text: &str) -> Option<MovementPosition> {
    let (number, index) = text.split_once('.')?;
    Some(MovementPosition { number: number.parse().ok()?, index: index.parse().ok()? })
}
