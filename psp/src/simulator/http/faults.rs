//! Calls of the simulator's own, under `/_sim`: for tests, and for people who look.

use std::time::Duration;

use serde_json::{Value, json};
use shared_events::contract::Currency;

use super::Service;
use super::message::{Request, Response};
use crate::simulator::{Book, Move, ReportFault, ReportOf, Script, Simulator, report};
use crate::{Answer, Kind, OurReference};

/// Payments that one call shows; more are asked for by `after`.
const PAYMENTS_SHOWN: usize = 1_000;
/// The clock goes ahead by at most this: ten years.
const AHEAD_MAX: u64 = 10 * 366 * 24 * 3600;

pub(super) fn answer(service: &Service, request: &Request, path: &[&str]) -> Response {
    match (request.is_post(), path) {
        (true, ["script"]) => script(service, &request.json()),
        (true, ["act"]) => act(service, &request.json()),
        (true, ["clock"]) => clock(service, &request.json()),
        (false, ["book"]) => service.psp.with(|simulator, at| {
            simulator.advance(at);
            Response::json(200, &book(simulator, request.query("after").unwrap_or_default()))
        }),
        (false, ["payouts"]) => service.psp.with(|simulator, at| {
            simulator.advance(at);
            let after = request.query("after").and_then(|after| after.parse().ok());
            Response::json(200, &payouts(simulator, after.unwrap_or_default()))
        }),
        (false, ["report"]) => match report_of(request) {
            Ok(of) => service.psp.with(|simulator, at| {
                simulator.advance(at);
                Response::csv(report(simulator, &of))
            }),
            Err(what) => wrong(&what),
        },
        _ => Response::not_found(),
    }
}

fn wrong(what: &str) -> Response {
    Response::json(400, &json!({ "error": { "message": what } }))
}

/// `?day=2026-11-29&fault=doubled_line&settled_currency=EUR&rate=1.17`, all of which may be absent.
fn report_of(request: &Request) -> Result<ReportOf, String> {
    let text = |name: &str| request.query(name).unwrap_or_default();
    let fault = match text("fault") {
        "" => None,
        text => {
            let fault = text.parse::<ReportFault>();
            Some(fault.map_err(|error| format!("fault: {error}"))?)
        }
    };
    let settled_in = match text("settled_currency") {
        "" => None,
        code => {
            let currency = code.parse::<Currency>();
            let currency = currency.map_err(|error| format!("settled_currency: {error}"))?;
            Some((currency, text("rate").to_owned()))
        }
    };
    Ok(ReportOf { day: text("day").to_owned(), fault, settled_in })
}

/// `{"kind": "capture", "script": "timeout_after", "our_reference": "…"}`
fn script(service: &Service, body: &Value) -> Response {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let kind = Kind::ALL.into_iter().find(|kind| text("kind") == Some(kind.name()));
    let Some(kind) = kind else { return wrong("kind: authorize, capture, void, refund or payout") };
    let script: Script = match text("script").unwrap_or_default().parse() {
        Ok(script) => script,
        Err(error) => return wrong(&format!("script: {error}")),
    };
    let our = text("our_reference").map(str::parse).transpose();
    let Ok(our) = our else { return wrong("our_reference: not a UUID") };
    let said = service.psp.with(|simulator, _| simulator.say(kind, our.map(OurReference), script));
    match said {
        Ok(()) => Response::json(200, &json!({})),
        Err(error) => wrong(&error.to_string()),
    }
}

/// `{"payment": "pi_…", "approve": true}`
fn act(service: &Service, body: &Value) -> Response {
    let payment = body.get("payment").and_then(Value::as_str).unwrap_or_default();
    let payment = payment.replacen("pay_", "pi_", 1).parse();
    let approve = body.get("approve").and_then(Value::as_bool);
    let (Ok(payment), Some(approve)) = (payment, approve) else {
        return wrong("payment and approve are needed");
    };
    let acted = service.psp.with(|simulator, at| simulator.act(&payment, approve, at));
    Response::json(200, &json!({ "acted": acted }))
}

/// `{"advance_seconds": 3600}`
fn clock(service: &Service, body: &Value) -> Response {
    let seconds = body.get("advance_seconds").and_then(Value::as_u64);
    let Some(seconds) = seconds.filter(|seconds| *seconds <= AHEAD_MAX) else {
        return wrong("advance_seconds: a whole number, at most ten years");
    };
    service.psp.advance(Duration::from_secs(seconds));
    let now = service.psp.with(|_, at| at.now);
    Response::json(200, &json!({ "now": now.to_string() }))
}

/// The book: totals of each currency, and payments by their references.
fn book(simulator: &Simulator, after: &str) -> Value {
    let kept = simulator.book();
    let mut shown: Vec<Value> = Vec::new();
    let mut more = Value::Null;
    for (reference, currency, sums) in kept.payments_after(after) {
        if shown.len() == PAYMENTS_SHOWN {
            more = shown.last().map_or(Value::Null, |last| last["payment"].clone());
            break;
        }
        let payment = simulator.payment(reference);
        let our = payment.and_then(|payment| payment.our_reference);
        shown.push(json!({
            "payment": reference.as_str(),
            "our_reference": our.map(|our| our.0.to_string()),
            "currency": currency.code(),
            "authorized": sums.authorized, "released": sums.released,
            "captured": sums.captured, "refunded": sums.refunded, "disputed": sums.disputed,
        }));
    }
    let (waiting, dropped) = simulator.webhook_counts();
    json!({
        "sound": kept.is_sound(),
        "totals": totals(kept),
        "payments": shown,
        "after": more,
        "webhooks": { "waiting": waiting, "dropped": dropped },
    })
}

/// The payouts, in the order in which they were asked for.
fn payouts(simulator: &Simulator, after: u64) -> Value {
    let mut shown: Vec<Value> = Vec::new();
    let (mut last, mut more) = (after, false);
    for (number, one) in simulator.payouts_after(after) {
        more = shown.len() == PAYMENTS_SHOWN;
        if more {
            break;
        }
        last = number;
        let state = match &one.answer {
            Answer::Done { .. } => "paid",
            Answer::Declined { .. } => "returned",
            _ => "pending",
        };
        shown.push(json!({
            "payout": one.reference.as_str(),
            "our_reference": one.our_reference.0.to_string(),
            "destination": one.destination,
            "currency": one.amount.currency.code(),
            "amount": one.amount.minor,
            "state": state,
        }));
    }
    json!({ "payouts": shown, "after": if more { last.into() } else { Value::Null } })
}

fn totals(book: &Book) -> Value {
    const MOVES: [Move; 8] = [
        Move::Authorized,
        Move::Released,
        Move::Captured,
        Move::CaptureFailed,
        Move::Refunded,
        Move::RefundFailed,
        Move::DisputeOpened,
        Move::DisputeWon,
    ];
    let of = |totals: &crate::simulator::Totals| -> Value {
        // As text: a sum may be larger than a JSON number can hold exactly.
        let mut shown: serde_json::Map<String, Value> = MOVES
            .into_iter()
            .map(|moved| (moved.name().to_owned(), totals.of(moved).to_string().into()))
            .collect();
        shown.insert("fees".to_owned(), totals.fees.to_string().into());
        shown.into()
    };
    let totals = book.totals().iter();
    totals.map(|(currency, totals)| (currency.code().to_owned(), of(totals))).collect()
}
