//! `payout`: what is paid out to sellers.

use serde_json::{Value, json};
use shared_events::chance::Chance;

use super::args::PayoutVerb;
use super::ledger::replayed;
use super::orders::pages;
use crate::client::parse::Id;
use crate::client::{Client, Failure, Output, show};

const SERVICE: &str = "payments.v1.PayoutService";

/// `ordinal payout …`
pub async fn payout(client: &Client, out: &Output, verb: PayoutVerb) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("{SERVICE}/{method}"), request).await
    };
    match verb {
        PayoutVerb::Run { seller, currency, request_id, validate_only, why } => {
            let request = json!({
                "seller": seller,
                "currency_code": code(currency),
                "reason": why.reason,
                "validate_only": validate_only,
            });
            run(client, out, request, (request_id, validate_only)).await?;
        }
        PayoutVerb::ShowRun { run_id } => {
            let request = json!({ "run_id": run_id });
            out.answer(&ask("GetPayoutRun", request).await?, show::payout_run);
        }
        PayoutVerb::Get { payout_id } => {
            let request = json!({ "payout_id": payout_id });
            out.answer(&ask("GetPayout", request).await?, show::payout);
        }
        PayoutVerb::List { seller, currency, state, run, page } => {
            let mut request =
                json!({ "seller": seller, "currency_code": code(currency), "run_id": run });
            if let Some(state) = state {
                request["state"] = json!(client.enum_value("payments.v1.PayoutState", &state)?);
            }
            let method = format!("{SERVICE}/ListPayouts");
            pages(client, out, &method, request, &page, show::payouts).await?;
        }
        PayoutVerb::Retry { payout_id, validate_only, why } => {
            let request = json!({
                "payout_id": payout_id, "reason": why.reason, "validate_only": validate_only,
            });
            changed(out, &ask("RetryPayout", request).await?, validate_only);
        }
        PayoutVerb::Resolve { payout_id, paid, not_paid, validate_only, why } => {
            let request = json!({
                "payout_id": payout_id,
                "paid": paid.is_some(),
                "psp_reference": paid.unwrap_or_default(),
                "code": not_paid.unwrap_or_default(),
                "reason": why.reason,
                "validate_only": validate_only,
            });
            changed(out, &ask("ResolvePayout", request).await?, validate_only);
        }
    }
    Ok(())
}

/// Asks for a run, under an id that is made where none was given.
async fn run(
    client: &Client,
    out: &Output,
    mut request: Value,
    (asked, validate_only): (Option<Id>, bool),
) -> Result<(), Failure> {
    let made = asked.is_none().then(|| Id(Chance::system().uuid()));
    request["run_id"] = json!(asked.or(made));
    // What was not kept is not asked for again.
    let kept = made.filter(|_| !validate_only);
    let answer = client.call(&format!("{SERVICE}/RunPayouts"), request).await;
    let answer = answer.map_err(|failure| naming(failure, kept))?;
    out.answer(&answer, |out, answer| {
        show::only_would(out, validate_only);
        replayed(out, answer);
        show::payout_run(out, answer);
    });
    Ok(())
}

/// The payout as it is, or would be.
fn changed(out: &Output, answer: &Value, validate_only: bool) {
    out.answer(answer, |out, answer| {
        show::only_would(out, validate_only);
        show::payout(out, answer);
    });
}

fn code(currency: Option<String>) -> Option<String> {
    currency.map(|code| code.to_ascii_uppercase())
}

/// The failure names the id that was made for a run: asked again with the same id, it begins once.
fn naming(failure: Failure, made: Option<Id>) -> Failure {
    match made {
        Some(id) => {
            failure.unless_decided(&format!("to ask for the same again: --request-id {}", id.0))
        }
        None => failure,
    }
}
