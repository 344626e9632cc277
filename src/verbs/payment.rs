//! `payment`: attempts, payments, operations at providers.

use std::path::Path;

use serde_json::{Value, json};
use shared_events::chance::Chance;

use super::args::{Page, PaymentVerb};
use super::ledger::naming;
use super::orders::pages;
use crate::client::parse::Id;
use crate::client::{Client, Failure, Output, show};

const SERVICE: &str = "payments.v1.PaymentService";

/// `ordinal payment …`
pub async fn payment(client: &Client, out: &Output, verb: PaymentVerb) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("{SERVICE}/{method}"), request).await
    };
    match verb {
        PaymentVerb::Attempt { order_id, psp_token_file, id, validate_only } => {
            attempt(client, out, (order_id, id), &psp_token_file, validate_only).await?;
        }
        PaymentVerb::Show { payment_id } => {
            let request = json!({ "payment_id": payment_id });
            out.answer(&ask("GetPayment", request).await?, show::payment);
        }
        PaymentVerb::List { order, customer, status, page } => {
            let mut request = json!({ "order_id": order, "customer_id": customer });
            if let Some(status) = status {
                request["status"] = json!(client.enum_value("payments.v1.PaymentStatus", &status)?);
            }
            let method = format!("{SERVICE}/ListPayments");
            pages(client, out, &method, request, &page, show::payments).await?;
        }
        PaymentVerb::Stuck { page } => {
            let method = format!("{SERVICE}/ListStuckOperations");
            pages(client, out, &method, json!({}), &page, show::payment_operations).await?;
        }
        PaymentVerb::Operation { operation_id } => {
            let request = json!({ "operation_id": operation_id });
            out.answer(&ask("GetOperation", request).await?, show::payment_operation);
        }
        PaymentVerb::Resolve { operation_id, succeeded, declined, validate_only, why } => {
            let request = json!({
                "operation_id": operation_id,
                "succeeded": succeeded.is_some(),
                "psp_reference": succeeded.unwrap_or_default(),
                "code": declined.unwrap_or_default(),
                "reason": why.reason,
                "validate_only": validate_only,
            });
            let answer = ask("ResolveOperation", request).await?;
            out.answer(&answer, |out, answer| {
                show::only_would(out, validate_only);
                show::payment_operation(out, answer);
            });
        }
        PaymentVerb::Webhooks { state, page } => webhooks(client, out, (&state, &page)).await?,
        PaymentVerb::ResolveWebhook { psp, event_id, drop, validate_only, why } => {
            let request = json!({
                "psp": psp, "event_id": event_id, "drop": drop, "reason": why.reason,
                "validate_only": validate_only,
            });
            let answer = ask("ResolveWebhook", request).await?;
            out.answer(&answer, |out, answer| {
                show::only_would(out, validate_only);
                show::payment_webhook(out, answer);
            });
        }
    }
    Ok(())
}

async fn attempt(
    client: &Client,
    out: &Output,
    (order_id, id): (Id, Option<Id>),
    psp_token_file: &Path,
    validate_only: bool,
) -> Result<(), Failure> {
    let text = crate::flags::secrets::read("provider's token", psp_token_file);
    let text = text.map_err(|error| Failure::usage(&error))?;
    let token = text.lines().next().unwrap_or_default().trim();
    let made = id.is_none().then(|| Id(Chance::system().uuid()));
    let attempt = id.or(made);
    let request = json!({
        "order_id": order_id, "attempt_id": attempt, "psp_token": token,
        "validate_only": validate_only,
    });
    let answer = client.call(&format!("{SERVICE}/Attempt"), request).await;
    // What was not kept is not asked for again.
    let kept = made.filter(|_| !validate_only);
    let answer = answer.map_err(|failure| naming(failure, kept.as_ref()))?;
    out.answer(&answer, |out, answer| {
        show::only_would(out, validate_only);
        show::attempt(out, answer);
    });
    Ok(())
}

async fn webhooks(
    client: &Client,
    out: &Output,
    (state, page): (&str, &Page),
) -> Result<(), Failure> {
    let mut request = json!({});
    if state != "all" {
        request["state"] = json!(client.enum_value("payments.v1.WebhookState", state)?);
    }
    pages(client, out, &format!("{SERVICE}/ListWebhooks"), request, page, show::payment_webhooks)
        .await
}
