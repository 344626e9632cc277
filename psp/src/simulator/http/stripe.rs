//! Stripe's calls, as far as payments with manual capture need them.

use serde_json::{Map, Value, json};
use shared_events::contract::{Currency, Money, Timestamp};
use uuid::Uuid;

use super::message::{Request, Response};
use super::{Service, heard};
use crate::simulator::{Operation, Payment, Simulator, State};
use crate::{
    Answer, Authorize, CallKey, Capture, Dialect, Found, Kind, OurReference, PspReference, Refund,
    Void,
};

/// Until when a customer may act, in seconds from the call.
const ACTION_SECONDS: u64 = 23 * 3600;

pub(super) fn answer(service: &Service, request: &Request, path: &[&str]) -> Response {
    match (request.is_post(), path) {
        (true, ["payment_intents"]) => create(service, request),
        (true, ["payment_intents", id, "capture"]) => capture(service, request, id),
        (true, ["payment_intents", id, "cancel"]) => cancel(service, request, id),
        (true, ["refunds"]) => refund(service, request),
        (false, ["payment_intents", "search"]) => search(service, request),
        (false, ["payment_intents", id]) => service.psp.with(|simulator, at| {
            simulator.advance(at);
            let payment = id.parse().ok().and_then(|id| simulator.payment(&id));
            payment.map_or_else(missing, |payment| ok(&expanded(simulator, payment)))
        }),
        (false, ["refunds"]) => refunds(service, request),
        (false, ["refunds", id]) => service.psp.with(|simulator, at| {
            simulator.advance(at);
            let id: Option<PspReference> = id.parse().ok();
            let found = id.as_ref().and_then(|id| {
                let payment = simulator.payment(id)?;
                let mut refunds = simulator.operations(payment).filter(|op| op.is_found(at.now));
                Some((payment, refunds.find(|op| op.kind == Kind::Refund && op.reference == *id)?))
            });
            found.map_or_else(missing, |(payment, refund)| ok(&refund_object(payment, refund)))
        }),
        _ => missing(),
    }
}

pub(super) fn ok(body: &Value) -> Response {
    Response::json(200, body)
}

fn error(status: u16, kind: &str, code: &str) -> Response {
    let message = "the simulator says so";
    Response::json(status, &json!({ "error": { "type": kind, "code": code, "message": message } }))
}

pub(super) fn invalid(code: &str) -> Response {
    error(400, "invalid_request_error", code)
}

pub(super) fn missing() -> Response {
    error(404, "invalid_request_error", "resource_missing")
}

pub(super) fn unauthorized() -> Response {
    error(401, "invalid_request_error", "api_key_invalid")
}

pub(super) fn fault() -> Response {
    error(500, "api_error", "api_error")
}

/// A form, by its names.
pub(super) struct Form(pub(super) Vec<(String, String)>);

impl Form {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn amount(&self, name: &str, currency: Currency) -> Option<Money> {
        let amount = self.text(name)?.parse().ok()?;
        Dialect::Stripe.money(amount, currency).ok()
    }

    /// The operation of ours: in the metadata, or what the key names.
    pub(super) fn key(&self, request: &Request, simulator: &mut Simulator) -> CallKey {
        let text = request.header("idempotency-key").unwrap_or_default();
        let (operation, generation) = text.split_once('.').unwrap_or((text, "0"));
        let named = operation.parse::<Uuid>().ok().zip(generation.parse().ok());
        match named {
            Some((operation, generation)) => CallKey { operation, generation },
            None if text.is_empty() => simulator.fresh_key(),
            None => {
                let operation = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
                CallKey { operation, generation: 0 }
            }
        }
    }

    pub(super) fn our(&self, key: CallKey) -> Option<OurReference> {
        let ordinal = self.text("metadata[ordinal]").and_then(|text| text.parse().ok());
        Some(OurReference(ordinal.unwrap_or(key.operation)))
    }
}

fn create(service: &Service, request: &Request) -> Response {
    let form = Form(request.form());
    let currency = form.text("currency").map(str::to_ascii_uppercase);
    let Some(currency) = currency.and_then(|code| code.parse().ok()) else {
        return invalid("parameter_invalid_currency");
    };
    let token = form.text("payment_method").and_then(|token| token.parse().ok());
    let (Some(amount), Some(token)) = (form.amount("amount", currency), token) else {
        return invalid("parameter_missing");
    };
    let manual = form.text("capture_method") == Some("manual");
    if !manual || form.text("confirm") != Some("true") {
        return invalid("the_simulator_only_confirms_manual_captures");
    }
    service.psp.with(|simulator, at| {
        let key = form.key(request, simulator);
        let our = form.our(key);
        let action_until = at.now.plus(std::time::Duration::from_secs(ACTION_SECONDS));
        let call = Authorize { key, amount, token, customer: None, action_until };
        let said = simulator.authorize(&call, our, at);
        heard(said, fault(), |answer| {
            let operation = our.and_then(|our| simulator.operation(our));
            let payment = operation.and_then(|operation| simulator.payment(&operation.reference));
            rendered(&answer, payment.map(|payment| expanded(simulator, payment)))
        })
    })
}

fn capture(service: &Service, request: &Request, id: &str) -> Response {
    let form = Form(request.form());
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let Ok(authorization) = id.parse::<PspReference>() else { return missing() };
        let Some(payment) = simulator.payment(&authorization) else { return missing() };
        let amount = match form.text("amount_to_capture") {
            Some(_) => form.amount("amount_to_capture", payment.currency),
            None => {
                let open = simulator.book().sums(&payment.reference).open();
                Some(Money::new(open, payment.currency))
            }
        };
        let Some(amount) = amount else { return invalid("parameter_invalid_integer") };
        let more_follows = form.text("final_capture") == Some("false");
        let key = form.key(request, simulator);
        let our = form.our(key);
        let call = Capture { key, authorization: authorization.clone(), amount, more_follows };
        let said = simulator.capture(&call, our, at);
        heard(said, fault(), |answer| {
            let payment = simulator.payment(&authorization);
            rendered(&answer, payment.map(|payment| intent(simulator, payment)))
        })
    })
}

fn cancel(service: &Service, request: &Request, id: &str) -> Response {
    let form = Form(request.form());
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let Ok(authorization) = id.parse::<PspReference>() else { return missing() };
        if simulator.payment(&authorization).is_none() {
            return missing();
        }
        let key = form.key(request, simulator);
        let our = form.our(key);
        let said = simulator.void(&Void { key, authorization: authorization.clone() }, our, at);
        heard(said, fault(), |answer| {
            let payment = simulator.payment(&authorization);
            rendered(&answer, payment.map(|payment| intent(simulator, payment)))
        })
    })
}

fn refund(service: &Service, request: &Request) -> Response {
    let form = Form(request.form());
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let about = form.text("charge").or_else(|| form.text("payment_intent"));
        let Some(capture) = about.and_then(|about| about.parse::<PspReference>().ok()) else {
            return invalid("parameter_missing");
        };
        let Some(payment) = simulator.payment(&capture) else { return missing() };
        let currency = payment.currency;
        let amount = match form.text("amount") {
            Some(_) => form.amount("amount", currency),
            None => {
                let kept = simulator.book().sums(&payment.reference).kept();
                Some(Money::new(kept - payment.refund_pending, currency))
            }
        };
        let Some(amount) = amount else { return invalid("parameter_invalid_integer") };
        let key = form.key(request, simulator);
        let our = form.our(key);
        let said = simulator.refund(&Refund { key, capture: capture.clone(), amount }, our, at);
        heard(said, fault(), |answer| {
            let operation = our.and_then(|our| simulator.operation(our));
            let refund = operation.filter(|operation| operation.kind == Kind::Refund);
            let payment = simulator.payment(&capture);
            match (&answer, refund.zip(payment)) {
                (Answer::Refused { .. }, _) | (_, None) => rendered(&answer, None),
                (_, Some((refund, payment))) => ok(&refund_object(payment, refund)),
            }
        })
    })
}

fn refunds(service: &Service, request: &Request) -> Response {
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let about = request.query("charge").or_else(|| request.query("payment_intent"));
        let payment = about.and_then(|about| simulator.payment(&about.parse().ok()?));
        let Some(payment) = payment else {
            // All refunds of an account are not kept in order here.
            let more = about.is_none();
            return ok(&json!({ "object": "list", "data": [], "has_more": more }));
        };
        let refunds = simulator.operations(payment).filter(|op| op.kind == Kind::Refund);
        let seen = refunds.filter(|op| op.is_found(at.now));
        let data: Vec<Value> = seen.map(|refund| refund_object(payment, refund)).collect();
        ok(&json!({ "object": "list", "data": data, "has_more": false }))
    })
}

/// Finds a payment intent by the operations of ours that its metadata name.
fn search(service: &Service, request: &Request) -> Response {
    let query = request.query("query").unwrap_or_default();
    let after = |mark: &str, chars: usize| query.split_once(mark)?.1.get(..chars);
    let ordinal = after("metadata['ordinal']:'", 36);
    let capture = after("metadata['capture_", 32);
    let named = [ordinal, capture].into_iter().flatten();
    let ours: Vec<Uuid> = named.filter_map(|text| text.parse().ok()).collect();
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let mut data = Vec::new();
        for our in ours {
            let our = OurReference(our);
            if !matches!(simulator.fetch(our, at), Found::Known(_)) || !data.is_empty() {
                continue;
            }
            let operation = simulator.operation(our).filter(|op| op.kind != Kind::Refund);
            let reference = operation.map(|operation| operation.reference.clone());
            let payment = reference.and_then(|reference| simulator.payment(&reference));
            data.extend(payment.map(|payment| expanded(simulator, payment)));
        }
        ok(&json!({ "object": "search_result", "data": data, "has_more": false }))
    })
}

pub(super) fn rendered(answer: &Answer, body: Option<Value>) -> Response {
    match (answer, body) {
        (Answer::Declined { code }, body) => {
            let error = json!({
                "type": "card_error", "code": "card_declined", "decline_code": code,
                "message": "the simulator declines", "payment_intent": body,
            });
            Response::json(402, &json!({ "error": error }))
        }
        (Answer::Refused { repairable: true, .. }, _) => {
            error(429, "invalid_request_error", "rate_limit")
        }
        (Answer::Refused { code, .. }, _) if code == "idempotency_key_reused" => {
            error(400, "idempotency_error", "idempotency_key_reused")
        }
        (Answer::Refused { code, .. }, _) => invalid(code),
        (_, Some(body)) => ok(&body),
        (_, None) => fault(),
    }
}

pub(super) fn units(minor: i64, currency: Currency) -> i64 {
    // What was taken in units goes out in them; another currency may have no such amount.
    Dialect::Stripe.amount(Money::new(minor, currency)).unwrap_or(minor)
}

/// When something happened, in seconds since 1970.
pub(super) fn unix(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

/// A payment intent.
pub(super) fn intent(simulator: &Simulator, payment: &Payment) -> Value {
    let sums = simulator.book().sums(&payment.reference);
    let of = |minor: i64| units(minor, payment.currency);
    let mut metadata = Map::new();
    if let Some(our) = payment.our_reference {
        metadata.insert("ordinal".to_owned(), our.0.to_string().into());
    }
    let captures = simulator.operations(payment).filter(|op| op.kind == Kind::Capture);
    let (mut charge, mut failed) = (Value::Null, None);
    for capture in captures {
        // A capture that failed leaves the intent without a payment method that pays.
        failed = match &capture.answer {
            Answer::Declined { code } => Some(code),
            _ => None,
        };
        if failed.is_none() {
            charge = capture.reference.as_str().into();
        }
        if let Some(our) = capture.our_reference {
            let amount = of(capture.amount).to_string();
            metadata.insert(format!("capture_{}", our.0.simple()), amount.into());
        }
    }
    let open = sums.open() - payment.capture_pending;
    let status = match payment.state {
        _ if payment.capture_pending > 0 => "processing",
        _ if failed.is_some() && sums.captured == 0 => "requires_payment_method",
        State::Declined => "requires_payment_method",
        State::Pending => "processing",
        State::Action => "requires_action",
        State::Open if open > 0 => "requires_capture",
        State::Open | State::Ended if sums.captured > 0 => "succeeded",
        State::Open | State::Ended => "canceled",
    };
    let expired = payment.valid_until.is_some_and(|_| status == "canceled" && open == 0);
    let voided = simulator.operations(payment).any(|op| op.kind == Kind::Void);
    let why = if expired && !voided { "automatic" } else { "requested_by_customer" };
    let reference = payment.reference.as_str();
    json!({
        "id": reference,
        "object": "payment_intent",
        "amount": match payment.state {
            State::Open | State::Ended if sums.authorized > 0 => of(sums.authorized),
            _ => units(payment.asked.minor, payment.asked.currency),
        },
        "amount_capturable": if payment.state == State::Open { of(open.max(0)) } else { 0 },
        "amount_received": of(sums.captured),
        "currency": payment.currency.code().to_ascii_lowercase(),
        "capture_method": "manual",
        "created": unix(payment.at),
        "status": status,
        "cancellation_reason": if status == "canceled" { why.into() } else { Value::Null },
        "latest_charge": charge,
        "metadata": metadata,
        "last_payment_error": payment.decline.as_ref().or(failed).map(|code| json!({
            "type": "card_error", "code": "card_declined", "decline_code": code,
        })),
        "next_action": (status == "requires_action").then(|| json!({
            "type": "redirect_to_url",
            "redirect_to_url": { "url": format!("https://simulator.invalid/act/{reference}") },
        })),
    })
}

/// A payment intent with its charge, as `expand[]` asks for it.
fn expanded(simulator: &Simulator, payment: &Payment) -> Value {
    let mut intent = intent(simulator, payment);
    if let Some(until) = payment.valid_until {
        // A charge stands before anything is captured of it.
        let id = match intent["latest_charge"].as_str() {
            Some(id) => id.to_owned(),
            None => payment.reference.as_str().replacen("pi_", "ch_", 1),
        };
        intent["latest_charge"] = json!({
            "id": id, "object": "charge",
            "payment_method_details": { "card": { "capture_before": unix(until) } },
        });
    }
    intent
}

/// A refund.
pub(super) fn refund_object(payment: &Payment, refund: &Operation) -> Value {
    let (status, why) = match &refund.answer {
        Answer::Done { .. } => ("succeeded", None),
        Answer::Declined { code } => ("failed", Some(code.clone())),
        _ => ("pending", None),
    };
    json!({
        "id": refund.reference.as_str(),
        "object": "refund",
        "amount": units(refund.amount, payment.currency),
        "currency": payment.currency.code().to_ascii_lowercase(),
        "payment_intent": payment.reference.as_str(),
        "created": unix(refund.at),
        "status": status,
        "failure_reason": why,
        "metadata": refund.our_reference.map(|our| json!({ "ordinal": our.0.to_string() })),
    })
}
