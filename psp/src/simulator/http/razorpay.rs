//! Razorpay's calls, as far as orders with payments by token need them.
//!
//! As there, orders, payments and captures have no idempotency key; refunds have one.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared_events::contract::{Currency, Money};
use uuid::Uuid;

use super::message::{Request, Response};
use super::stripe::unix;
use super::{Service, heard};
use crate::simulator::{Moment, Operation, Payment, Simulator, State};
use crate::{
    Answer, Authorize, CallKey, Capture, Dialect, Kind, OurReference, PspReference, Refund,
};

/// Orders that are known at once; further ones are refused.
const ORDERS_MAX: usize = 500_000;
/// Payments of one order.
const PAYMENTS_MAX: usize = 20;
/// Until when a customer may act, in seconds from the call.
const ACTION_SECONDS: u64 = 15 * 60;

/// Orders of Razorpay, by their ids, and the order of each payment.
#[derive(Default)]
pub(super) struct Orders(BTreeMap<String, Order>, BTreeMap<PspReference, String>);

struct Order {
    amount: Money,
    receipt: String,
    created: i64,
    payments: Vec<PspReference>,
}

pub(super) fn answer(
    service: &Service,
    orders: &mut Orders,
    request: &Request,
    path: &[&str],
) -> Response {
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        match (request.is_post(), path) {
            (true, ["orders"]) => create_order(simulator, orders, request, at),
            (false, ["orders"]) => {
                let receipt = request.query("receipt").unwrap_or_default();
                let of = orders.0.iter().filter(|(_, order)| order.receipt == receipt);
                list(of.map(|(id, order)| order_object(id, order)).collect())
            }
            (false, ["orders", id]) => {
                let order = orders.0.get(*id);
                order.map_or_else(missing, |order| ok(&order_object(id, order)))
            }
            (false, ["orders", id, "payments"]) => {
                let Some(order) = orders.0.get(*id) else { return missing() };
                let newest = order.payments.iter().rev();
                let found = newest.filter_map(|payment| simulator.payment(payment));
                let seen = found.filter(|payment| simulator.is_found(payment, at.now));
                list(seen.map(|payment| payment_object(simulator, payment)).collect())
            }
            (true, ["payments", "create", "json"]) => pay(simulator, orders, request, at),
            (false, ["payments", id]) => {
                let payment = named(simulator, id);
                let Some(payment) = payment else { return missing() };
                let mut shown = payment_object(simulator, payment);
                shown["order_id"] = orders.1.get(&payment.reference).cloned().into();
                ok(&shown)
            }
            (true, ["payments", id, "capture"]) => capture(simulator, request, id, at),
            (true, ["payments", id, "refund"]) => refund(simulator, request, id, at),
            (false, ["payments", id, "refunds"]) => {
                let Some(payment) = named(simulator, id) else { return missing() };
                let refunds = simulator.operations(payment).filter(|op| op.kind == Kind::Refund);
                let seen = refunds.filter(|op| op.is_found(at.now));
                list(seen.map(|refund| refund_object(payment, refund)).collect())
            }
            (false, ["payments", id, "refunds", refund]) => {
                let Some(payment) = named(simulator, id) else { return missing() };
                let mut refunds =
                    simulator.operations(payment).filter(|op| op.kind == Kind::Refund);
                let found = refunds.find(|op| theirs(&op.reference) == *refund);
                found.map_or_else(missing, |refund| ok(&refund_object(payment, refund)))
            }
            _ => missing(),
        }
    })
}

fn ok(body: &Value) -> Response {
    Response::json(200, body)
}

fn list(items: Vec<Value>) -> Response {
    ok(&json!({ "entity": "collection", "count": items.len(), "items": items }))
}

fn error(status: u16, code: &str, reason: &str, payment: Option<&str>) -> Response {
    let mut error = json!({
        "code": code, "description": "the simulator says so", "reason": reason,
    });
    if let Some(payment) = payment {
        error["metadata"] = json!({ "payment_id": payment });
    }
    Response::json(status, &json!({ "error": error }))
}

fn bad(reason: &str) -> Response {
    error(400, "BAD_REQUEST_ERROR", reason, None)
}

fn missing() -> Response {
    bad("input_validation_failed")
}

pub(super) fn unauthorized() -> Response {
    error(401, "BAD_REQUEST_ERROR", "NA", None)
}

fn fault() -> Response {
    error(500, "SERVER_ERROR", "server_error", None)
}

fn busy() -> Response {
    error(429, "BAD_REQUEST_ERROR", "too_many_requests", None)
}

/// Our references under their names here.
fn theirs(reference: &PspReference) -> String {
    let text = reference.as_str();
    text.replacen("pi_", "pay_", 1).replacen("re_", "rfnd_", 1)
}

fn named<'a>(simulator: &'a Simulator, id: &str) -> Option<&'a Payment> {
    simulator.payment(&id.strip_prefix("pay_").map(|id| format!("pi_{id}"))?.parse().ok()?)
}

fn money(body: &Value) -> Option<Money> {
    let currency: Currency = body.get("currency")?.as_str()?.parse().ok()?;
    Dialect::Razorpay.money(body.get("amount")?.as_i64()?, currency).ok()
}

fn units(minor: i64, currency: Currency) -> i64 {
    Dialect::Razorpay.amount(Money::new(minor, currency)).unwrap_or(minor)
}

fn create_order(
    simulator: &mut Simulator,
    orders: &mut Orders,
    request: &Request,
    at: Moment<'_>,
) -> Response {
    let body = request.json();
    let receipt = body.get("receipt").and_then(Value::as_str).unwrap_or_default();
    let Some(amount) = money(&body).filter(|amount| amount.minor > 0) else { return missing() };
    if receipt.len() > 40 {
        return missing();
    }
    if orders.0.len() >= ORDERS_MAX {
        return busy();
    }
    let Some(id) = simulator.reference("order") else { return fault() };
    let (receipt, created) = (receipt.to_owned(), unix(at.now));
    let order = Order { amount, receipt, created, payments: Vec::new() };
    let shown = order_object(id.as_str(), &order);
    orders.0.insert(id.to_string(), order);
    ok(&shown)
}

fn pay(
    simulator: &mut Simulator,
    orders: &mut Orders,
    request: &Request,
    at: Moment<'_>,
) -> Response {
    let body = request.json();
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    let order_id = text("order_id");
    let order = orders.0.get_mut(order_id);
    let (Some(order), Some(amount), Ok(token)) = (order, money(&body), text("token").parse())
    else {
        return missing();
    };
    if order.amount != amount || order.payments.len() >= PAYMENTS_MAX {
        return missing();
    }
    let action_until = at.now.plus(std::time::Duration::from_secs(ACTION_SECONDS));
    let key = simulator.fresh_key();
    let our = order.receipt.parse().ok().map(OurReference);
    let before = simulator.newest();
    let call = Authorize { key, amount, token, customer: None, action_until };
    let said = simulator.authorize(&call, our, at);
    let made = simulator.newest().filter(|made| Some(made) != before.as_ref());
    order.payments.extend(made.clone());
    orders.1.extend(made.clone().map(|made| (made, order_id.to_owned())));
    let id = made.as_ref().map(theirs).unwrap_or_default();
    heard(said, fault(), |answer| match answer {
        Answer::Declined { code } => error(400, "BAD_REQUEST_ERROR", &code, Some(&id)),
        Answer::Refused { repairable: true, .. } => busy(),
        Answer::Refused { code, .. } => bad(&code),
        Answer::ActionRequired { url, .. } => ok(&json!({
            "razorpay_payment_id": id, "next": [{ "action": "redirect", "url": url }],
        })),
        _ => ok(&json!({ "razorpay_payment_id": id })),
    })
}

fn capture(simulator: &mut Simulator, request: &Request, id: &str, at: Moment<'_>) -> Response {
    let Some(payment) = named(simulator, id) else { return missing() };
    let authorization = payment.reference.clone();
    let sums = simulator.book().sums(&authorization);
    let Some(amount) = money(&request.json()) else { return missing() };
    if sums.captured + payment.capture_pending > 0 {
        return bad("payment_already_captured");
    }
    if amount.minor != sums.authorized {
        return bad("amount_must_be_that_of_the_payment");
    }
    let key = simulator.fresh_key();
    let call = Capture { key, authorization: authorization.clone(), amount, more_follows: false };
    let said = simulator.capture(&call, None, at);
    heard(said, fault(), |answer| match answer {
        Answer::Refused { repairable: true, .. } => busy(),
        Answer::Refused { code, .. } => bad(&code),
        Answer::Declined { code } => error(400, "BAD_REQUEST_ERROR", &code, Some(id)),
        _ => {
            let payment = simulator.payment(&authorization);
            payment.map_or_else(missing, |payment| ok(&payment_object(simulator, payment)))
        }
    })
}

fn refund(simulator: &mut Simulator, request: &Request, id: &str, at: Moment<'_>) -> Response {
    let body = request.json();
    let Some(payment) = named(simulator, id) else { return missing() };
    let (capture, currency) = (payment.reference.clone(), payment.currency);
    let amount = body.get("amount").and_then(Value::as_i64);
    let amount = amount.and_then(|amount| Dialect::Razorpay.money(amount, currency).ok());
    let Some(amount) = amount else { return missing() };
    let key = match request.header("x-refund-idempotency") {
        None => simulator.fresh_key(),
        Some(text) => {
            let (operation, generation) = text.split_once('_').unwrap_or((text, "0"));
            match operation.parse::<Uuid>().ok().zip(generation.parse().ok()) {
                Some((operation, generation)) => CallKey { operation, generation },
                None => {
                    let operation = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
                    CallKey { operation, generation: 0 }
                }
            }
        }
    };
    let ordinal = body.pointer("/notes/ordinal").and_then(Value::as_str);
    let our = OurReference(ordinal.and_then(|text| text.parse().ok()).unwrap_or(key.operation));
    let said = simulator.refund(&Refund { key, capture: capture.clone(), amount }, Some(our), at);
    heard(said, fault(), |answer| match answer {
        Answer::Refused { repairable: true, .. } => busy(),
        Answer::Refused { code, .. } => bad(&code),
        _ => match simulator.operation(our).zip(simulator.payment(&capture)) {
            Some((refund, payment)) => ok(&refund_object(payment, refund)),
            None => fault(),
        },
    })
}

fn order_object(id: &str, order: &Order) -> Value {
    json!({
        "id": id,
        "entity": "order",
        "amount": units(order.amount.minor, order.amount.currency),
        "currency": order.amount.currency.code(),
        "receipt": order.receipt,
        "status": if order.payments.is_empty() { "created" } else { "attempted" },
        "attempts": order.payments.len(),
        "created_at": order.created,
    })
}

/// A payment.
pub(super) fn payment_object(simulator: &Simulator, payment: &Payment) -> Value {
    let sums = simulator.book().sums(&payment.reference);
    let captured = sums.captured > 0;
    let status = match payment.state {
        State::Declined => "failed",
        State::Pending | State::Action => "created",
        State::Open | State::Ended if captured && sums.kept() == 0 => "refunded",
        State::Open | State::Ended if captured => "captured",
        State::Open => "authorized",
        State::Ended => "refunded",
    };
    json!({
        "id": theirs(&payment.reference),
        "entity": "payment",
        "amount": units(if sums.authorized > 0 { sums.authorized } else { payment.asked.minor },
            payment.currency),
        "currency": payment.currency.code(),
        "status": status,
        "captured": captured,
        "amount_refunded": units(sums.refunded, payment.currency),
        "error_reason": payment.decline,
        "notes": payment.our_reference.map(|our| json!({ "ordinal": our.0.to_string() })),
        "created_at": unix(payment.at),
    })
}

/// A refund.
pub(super) fn refund_object(payment: &Payment, refund: &Operation) -> Value {
    let status = match &refund.answer {
        Answer::Done { .. } => "processed",
        Answer::Declined { .. } => "failed",
        _ => "pending",
    };
    json!({
        "id": theirs(&refund.reference),
        "entity": "refund",
        "amount": units(refund.amount, payment.currency),
        "currency": payment.currency.code(),
        "payment_id": theirs(&payment.reference),
        "status": status,
        "notes": refund.our_reference.map(|our| json!({ "ordinal": our.0.to_string() })),
        "created_at": unix(refund.at),
    })
}
