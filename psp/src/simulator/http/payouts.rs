//! Stripe's calls about payouts.

use serde_json::{Value, json};
use shared_events::contract::Currency;

use super::message::{Request, Response};
use super::stripe::{Form, fault, invalid, missing, ok, rendered, units, unix};
use super::{Service, heard};
use crate::simulator::PaidOut;
use crate::{Answer, Payout};

/// Payouts on a page, unless the caller says otherwise, and at most.
const PAGE: (usize, usize) = (10, 100);

pub(super) fn answer(service: &Service, request: &Request, path: &[&str]) -> Response {
    match (request.is_post(), path) {
        (true, []) => create(service, request),
        (false, []) => list(service, request),
        (false, [id]) => service.psp.with(|simulator, at| {
            simulator.advance(at);
            let found = simulator.payout_named(id).filter(|one| one.is_found(at.now));
            found.map_or_else(missing, |one| ok(&object(one)))
        }),
        _ => missing(),
    }
}

fn create(service: &Service, request: &Request) -> Response {
    let form = Form(request.form());
    let currency = form.text("currency").map(str::to_ascii_uppercase);
    let Some(currency) = currency.and_then(|code| code.parse::<Currency>().ok()) else {
        return invalid("parameter_invalid_currency");
    };
    let destination = form.text("destination").map(str::to_owned);
    let (Some(amount), Some(destination)) = (form.amount("amount", currency), destination) else {
        return invalid("parameter_missing");
    };
    service.psp.with(|simulator, at| {
        let key = form.key(request, simulator);
        let our = form.our(key);
        let said = simulator.payout(&Payout { key, destination, amount }, our, at);
        heard(said, fault(), |answer| {
            let made = our.and_then(|our| simulator.payout_of(our)).map(object);
            match (&answer, made) {
                (Answer::Refused { .. }, _) | (_, None) => rendered(&answer, None),
                (_, Some(made)) => ok(&made),
            }
        })
    })
}

/// The newest first.
fn list(service: &Service, request: &Request) -> Response {
    let limit = request.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE.0);
    let after = request.query("starting_after");
    service.psp.with(|simulator, at| {
        simulator.advance(at);
        let newest = simulator.payouts_after(0).rev().map(|(_, one)| one);
        let seen = newest.filter(|one| one.is_found(at.now));
        let is_before = |one: &&PaidOut| after.is_some_and(|after| one.reference.as_str() != after);
        let mut rest = seen.skip_while(is_before).skip(usize::from(after.is_some()));
        let data: Vec<Value> = rest.by_ref().take(limit.min(PAGE.1)).map(object).collect();
        let more = rest.next().is_some();
        ok(&json!({ "object": "list", "data": data, "has_more": more }))
    })
}

/// A payout.
pub(super) fn object(of: &PaidOut) -> Value {
    let (status, why) = match &of.answer {
        Answer::Done { .. } => ("paid", None),
        Answer::Declined { code } => ("failed", Some(code.clone())),
        _ => ("in_transit", None),
    };
    json!({
        "id": of.reference.as_str(),
        "object": "payout",
        "amount": units(of.amount.minor, of.amount.currency),
        "currency": of.amount.currency.code().to_ascii_lowercase(),
        "destination": of.destination,
        "created": unix(of.at),
        "status": status,
        "failure_code": why,
        "metadata": { "ordinal": of.our_reference.0.to_string() },
    })
}
