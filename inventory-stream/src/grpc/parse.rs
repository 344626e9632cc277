use service_edge::Violations;
use service_edge::page::PageSize;
use shared_events::contract::{RequestId, Sku, TextRule};
use tonic::Status;

use super::proto;
use crate::movements::MovementPlace;
use crate::store::{Movement, UNITS_MAX};

const REASON_MAX: usize = 500;

/// What is asked of one product.
pub(super) struct Setting {
    pub(super) sku: Sku,
    pub(super) movement: Movement,
    pub(super) reason: String,
    pub(super) request_id: Option<String>,
}

pub(super) fn setting(path: &str, request: &proto::SetStockRequest) -> Result<Setting, Violations> {
    let mut violations = Violations::default();
    let sku = violations.parsed::<Sku>(&format!("{path}sku"), &request.sku);
    let units = 0..=UNITS_MAX;
    let expected = request.expected_on_hand;
    let both = [("on_hand", Some(request.on_hand)), ("expected_on_hand", expected)];
    for (field, number) in both {
        if number.is_some_and(|number| !units.contains(&number)) {
            violations.wrong(format!("{path}{field}"), "0 to 1,000,000,000,000");
        }
    }
    if request.only_if_absent && expected.is_some() {
        violations.wrong(format!("{path}expected_on_hand"), "not beside only_if_absent");
    }
    let request_id = told(path, &request.reason, &request.request_id, &mut violations);
    match sku {
        Some(sku) if violations.is_empty() => {
            let (on_hand, only_if_absent) = (request.on_hand, request.only_if_absent);
            let movement = Movement::Set { on_hand, only_if_absent, expected };
            Ok(Setting { sku, movement, reason: request.reason.clone(), request_id })
        }
        _ => Err(violations),
    }
}

/// The request id, if there is one; what is wrong with it or with the reason is added.
pub(super) fn told(
    path: &str,
    reason: &str,
    request_id: &str,
    violations: &mut Violations,
) -> Option<String> {
    if let Err(error) = TextRule::line(REASON_MAX).check(reason) {
        violations.wrong(format!("{path}reason"), error);
    }
    if request_id.is_empty() {
        return None;
    }
    let id = violations.parsed::<RequestId>(&format!("{path}request_id"), request_id);
    id.map(|id| id.to_string())
}

pub(super) fn page_size(asked: i32) -> Result<u32, Status> {
    let mut violations = Violations::default();
    PageSize::LIST.read(asked, &mut violations).ok_or_else(|| violations.into())
}

/// The place that a token of a product's movements names.
pub(super) fn movement_place(place: &str) -> Option<MovementPlace> {
    let (number, index) = place.split_once('.')?;
    Some(MovementPlace { number: number.parse().ok()?, index: index.parse().ok()? })
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Status> {
    let mut violations = Violations::default();
    violations.parsed(field, text).ok_or_else(|| violations.into())
}
