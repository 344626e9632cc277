//! Webhooks as each dialect writes them.

use serde_json::{Value, json};

use super::{payouts, razorpay, stripe};
use crate::simulator::{Outgoing, Payment, Simulator};
use crate::{Dialect, What};

/// The body of a webhook; none if the simulator has forgotten what it is about.
pub(super) fn body(dialect: Dialect, simulator: &Simulator, outgoing: &Outgoing) -> Option<String> {
    let payment = outgoing.event.payment.as_ref().and_then(|payment| simulator.payment(payment));
    let body = match dialect {
        Dialect::Simulator => own(outgoing),
        Dialect::Stripe if outgoing.event.what.is_of_payout() => of_payout(simulator, outgoing)?,
        Dialect::Stripe => of_stripe(simulator, payment?, outgoing)?,
        Dialect::Razorpay => of_razorpay(simulator, payment?, outgoing)?,
    };
    Some(body.to_string())
}

fn own(outgoing: &Outgoing) -> Value {
    let event = &outgoing.event;
    let kind = match &event.what {
        What::Other { kind } => kind.as_str(),
        what => what.name(),
    };
    let code = match &event.what {
        What::Declined { code }
        | What::CaptureFailed { code }
        | What::RefundFailed { code }
        | What::PayoutFailed { code } => Some(code),
        _ => None,
    };
    let amount = event.what.amount();
    json!({
        "id": event.id,
        "type": kind,
        "created": outgoing.at.to_string(),
        "data": {
            "reference": event.reference.as_ref().map(|reference| reference.as_str()),
            "payment": event.payment.as_ref().map(|payment| payment.as_str()),
            "our_reference": event.our_reference.map(|our| our.0.to_string()),
            "amount": amount.map(|amount| amount.minor),
            "currency": amount.map(|amount| amount.currency.code().to_owned()),
            "code": code,
            "dispute": event.dispute.as_ref().map(|dispute| dispute.as_str()),
            "respond_by": event.what.respond_by().map(|at| at.to_string()),
        },
    })
}

/// About a payout: paid, or not.
fn of_payout(simulator: &Simulator, outgoing: &Outgoing) -> Option<Value> {
    let event = &outgoing.event;
    let of = simulator.payout_named(event.reference.as_ref()?.as_str())?;
    let failed = matches!(event.what, What::PayoutFailed { .. });
    let kind = if failed { "payout.failed" } else { "payout.paid" };
    Some(json!({
        "id": event.id, "object": "event", "type": kind, "created": stripe::unix(outgoing.at),
        "data": { "object": payouts::object(of) },
    }))
}

fn of_stripe(simulator: &Simulator, payment: &Payment, outgoing: &Outgoing) -> Option<Value> {
    let event = &outgoing.event;
    let about = event.reference.as_ref().map(|reference| reference.as_str());
    let intent = || stripe::intent(simulator, payment);
    let refund = || {
        let mut refunds = simulator.operations(payment);
        let found = refunds.find(|op| Some(&op.reference) == event.reference.as_ref())?;
        Some(stripe::refund_object(payment, found))
    };
    let dispute = |status: &str| {
        let amount = event.what.amount()?;
        let respond_by = event.what.respond_by().map(stripe::unix);
        let units = Dialect::Stripe.amount(amount).ok()?;
        let currency = amount.currency.code().to_ascii_lowercase();
        Some(json!({
            "id": event.dispute.as_ref()?.as_str(), "object": "dispute", "amount": units,
            "evidence_details": { "due_by": respond_by },
            "currency": currency, "status": status, "charge": about,
            "payment_intent": payment.reference.as_str(),
        }))
    };
    let (kind, object) = match &event.what {
        What::Authorized { amount } => {
            let mut intent = intent();
            intent["amount_capturable"] = Dialect::Stripe.amount(*amount).ok()?.into();
            ("payment_intent.amount_capturable_updated", intent)
        }
        What::ActionRequired => ("payment_intent.requires_action", intent()),
        What::Declined { .. } => ("payment_intent.payment_failed", intent()),
        What::Captured { .. } => ("payment_intent.succeeded", intent()),
        What::CaptureFailed { code } => {
            let charge = json!({
                "id": about, "object": "charge", "captured": true, "failure_code": code,
                "payment_intent": payment.reference.as_str(),
            });
            ("charge.failed", charge)
        }
        What::Voided | What::Expired | What::Reversed => ("payment_intent.canceled", intent()),
        What::Refunded { .. } => ("refund.updated", refund()?),
        What::RefundFailed { .. } => ("refund.failed", refund()?),
        What::DisputeOpened { .. } => ("charge.dispute.created", dispute("needs_response")?),
        What::DisputeWon { .. } => ("charge.dispute.closed", dispute("won")?),
        What::DisputeLost { .. } => ("charge.dispute.closed", dispute("lost")?),
        What::PayoutPaid { .. } | What::PayoutFailed { .. } | What::Other { .. } => return None,
    };
    Some(json!({
        "id": event.id, "object": "event", "type": kind, "created": stripe::unix(outgoing.at),
        "data": { "object": object },
    }))
}

fn of_razorpay(simulator: &Simulator, payment: &Payment, outgoing: &Outgoing) -> Option<Value> {
    let event = &outgoing.event;
    let entity = || {
        json!({ "payment": {
        "entity": razorpay::payment_object(simulator, payment),
    } })
    };
    let refund = || {
        let mut refunds = simulator.operations(payment);
        let found = refunds.find(|op| Some(&op.reference) == event.reference.as_ref())?;
        Some(json!({ "refund": { "entity": razorpay::refund_object(payment, found) } }))
    };
    let dispute = || {
        let amount = event.what.amount()?;
        let respond_by = event.what.respond_by().map(stripe::unix);
        Some(json!({ "dispute": { "entity": {
            "id": event.dispute.as_ref()?.as_str().replacen("dp_", "disp_", 1),
            "respond_by": respond_by, "amount": Dialect::Razorpay.amount(amount).ok()?,
            "currency": amount.currency.code(),
            "payment_id": payment.reference.as_str().replacen("pi_", "pay_", 1),
        } } }))
    };
    let (kind, payload) = match &event.what {
        What::Authorized { .. } => ("payment.authorized", entity()),
        What::Captured { .. } => ("payment.captured", entity()),
        What::Declined { .. } | What::CaptureFailed { .. } => ("payment.failed", entity()),
        // What was reserved goes back as a refund that nobody asked for.
        What::Voided | What::Expired | What::Reversed => {
            let mut of = entity();
            let back = of.get("payment").and_then(|payment| payment.get("entity"))?.clone();
            of["refund"] = json!({ "entity": {
                "id": format!("rfnd_{}", event.id), "amount": back.get("amount")?,
                "currency": back.get("currency")?, "payment_id": back.get("id")?,
                "status": "processed", "notes": [],
            } });
            ("refund.processed", of)
        }
        What::Refunded { .. } => ("refund.processed", refund()?),
        What::RefundFailed { .. } => ("refund.failed", refund()?),
        What::DisputeOpened { .. } => ("payment.dispute.created", dispute()?),
        What::DisputeWon { .. } => ("payment.dispute.won", dispute()?),
        What::DisputeLost { .. } => ("payment.dispute.lost", dispute()?),
        // It pays nobody out.
        What::ActionRequired
        | What::PayoutPaid { .. }
        | What::PayoutFailed { .. }
        | What::Other { .. } => return None,
    };
    Some(json!({
        "entity": "event", "event": kind, "created_at": stripe::unix(outgoing.at),
        "payload": payload,
    }))
}
