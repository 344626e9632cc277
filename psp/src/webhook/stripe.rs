//! Stripe's bodies: an event with the object that it is about.

use serde::Deserialize;
use serde_json::Value;
use shared_events::contract::Money;

use super::{NotUnderstood, code, money, our, reference};
use crate::{Dialect, Event, PspReference, What};

#[derive(Deserialize)]
struct Body {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

struct Object<'a>(&'a Value);

impl Object<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    fn reference(&self, field: &str) -> Result<Option<PspReference>, NotUnderstood> {
        self.text(field).map(reference).transpose()
    }

    /// The operation of ours that its metadata name.
    fn ordinal(&self) -> Option<&str> {
        self.0.get("metadata").and_then(|metadata| metadata.get("ordinal")).and_then(Value::as_str)
    }

    fn money(&self, field: &str) -> Result<Money, NotUnderstood> {
        let amount = self.0.get(field).and_then(Value::as_i64).ok_or(NotUnderstood)?;
        money(Dialect::Stripe, amount, self.text("currency").ok_or(NotUnderstood)?)
    }

    /// A dispute that begins, or has ended. An inquiry (`warning_…`) moves no money, and is none;
    /// where it becomes a dispute, its money is withdrawn. What is not known is for a person.
    fn disputed(&self, kind: &str) -> Result<What, NotUnderstood> {
        let amount = self.money("amount")?;
        let status = self.text("status").unwrap_or_default();
        let other = || What::Other { kind: kind.to_owned() };
        Ok(match kind.trim_start_matches("charge.dispute.") {
            "created" | "funds_withdrawn" if status.starts_with("warning_") => other(),
            "created" | "funds_withdrawn" => {
                let due_by = self.0.pointer("/evidence_details/due_by").and_then(Value::as_i64);
                What::DisputeOpened { amount, respond_by: due_by.and_then(super::seconds) }
            }
            "closed" => match status {
                "won" | "prevented" => What::DisputeWon { amount },
                "lost" => What::DisputeLost { amount },
                "warning_closed" => other(),
                _ => return Err(NotUnderstood),
            },
            "updated" | "funds_reinstated" => other(),
            _ => return Err(NotUnderstood),
        })
    }

    /// Why the last attempt failed.
    fn decline(&self) -> String {
        let error = self.0.get("last_payment_error");
        let of = |field: &str| error.and_then(|error| error.get(field)).and_then(Value::as_str);
        code(of("decline_code").or_else(|| of("code")).unwrap_or_default())
    }
}

pub(super) fn read(body: &[u8]) -> Result<Event, NotUnderstood> {
    let body: Body = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    let object = Object(&body.data.object);
    let about = object.text("object").unwrap_or_default();
    let what = match body.kind.as_str() {
        "payment_intent.amount_capturable_updated" => {
            What::Authorized { amount: object.money("amount_capturable")? }
        }
        "payment_intent.requires_action" => What::ActionRequired,
        "payment_intent.payment_failed" => What::Declined { code: object.decline() },
        "payment_intent.succeeded" => What::Captured { amount: object.money("amount_received")? },
        "payment_intent.canceled" => match object.text("cancellation_reason") {
            Some("automatic" | "expired") => What::Expired,
            _ => What::Voided,
        },
        "charge.failed" => {
            let why = code(object.text("failure_code").unwrap_or_default());
            match object.0.get("captured").and_then(Value::as_bool) {
                Some(true) => What::CaptureFailed { code: why },
                _ => What::Declined { code: why },
            }
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            match object.text("status") {
                Some("succeeded") => What::Refunded { amount: object.money("amount")? },
                Some("failed" | "canceled") => {
                    let why = object.text("failure_reason").unwrap_or("refund_failed");
                    What::RefundFailed { code: code(why) }
                }
                _ => What::Other { kind: body.kind.chars().take(100).collect() },
            }
        }
        // Those that we did not make are of the shop's own account.
        "payout.paid" if object.ordinal().is_some() => {
            What::PayoutPaid { amount: object.money("amount")? }
        }
        "payout.failed" | "payout.canceled" if object.ordinal().is_some() => {
            let why = object.text("failure_code").unwrap_or("payout_failed");
            What::PayoutFailed { code: code(why) }
        }
        kind if kind.starts_with("charge.dispute.") => object.disputed(kind)?,
        other => What::Other { kind: other.chars().take(100).collect() },
    };
    let id = object.reference("id")?;
    // A capture has no object of its own, and the metadata are those of the authorisation.
    let (reference, ours) = match (about, &what) {
        ("payment_intent", What::Captured { .. }) => (object.reference("latest_charge")?, false),
        ("payment_intent" | "refund" | "payout", _) => (id.clone(), !matches!(what, What::Voided)),
        ("dispute", _) => (object.reference("charge")?, false),
        _ => (id.clone(), false),
    };
    let payment = match about {
        "payment_intent" => id,
        _ => object.reference("payment_intent")?,
    };
    Ok(Event {
        id: super::reference(&body.id)?.to_string(),
        reference,
        payment,
        dispute: object.reference("id")?.filter(|_| about == "dispute"),
        our_reference: our(object.ordinal().filter(|_| ours)),
        what,
    })
}
