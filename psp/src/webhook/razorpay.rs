//! Razorpay's bodies: an event with the entities that it is about.
//!
//! The id of an event is in a header that the signature does not cover, so that of a body is taken:
//! who sends a genuine body again cannot make it another event.

use serde::Deserialize;
use serde_json::Value;

use super::{NotUnderstood, code, money, our, reference};
use crate::{Dialect, Event, What};

#[derive(Deserialize)]
struct Body {
    event: String,
    payload: Payload,
}

#[derive(Default, Deserialize)]
struct Payload {
    payment: Option<Of>,
    refund: Option<Of>,
    dispute: Option<Of>,
}

#[derive(Deserialize)]
struct Of {
    entity: Entity,
}

#[derive(Deserialize)]
struct Entity {
    id: String,
    amount: i64,
    currency: String,
    payment_id: Option<String>,
    #[serde(default)]
    notes: Value,
    error_reason: Option<String>,
    error_code: Option<String>,
    respond_by: Option<i64>,
    status: Option<String>,
}

impl Entity {
    fn money(&self) -> Result<shared_events::contract::Money, NotUnderstood> {
        money(Dialect::Razorpay, self.amount, &self.currency)
    }

    /// A dispute that begins, or has ended. What ends and is not lost blocks no refund any more; what
    /// is not known is for a person.
    fn disputed(&self, kind: &str) -> Result<What, NotUnderstood> {
        let amount = self.money()?;
        let kind = kind.trim_start_matches("payment.dispute.");
        Ok(match (kind, self.status.as_deref()) {
            ("created", _) => {
                let respond_by = self.respond_by.and_then(super::seconds);
                What::DisputeOpened { amount, respond_by }
            }
            ("won", _) | ("closed", Some("won" | "closed")) => What::DisputeWon { amount },
            ("lost", _) | ("closed", Some("lost")) => What::DisputeLost { amount },
            ("under_review" | "action_required", _) => {
                What::Other { kind: format!("payment.dispute.{kind}") }
            }
            _ => return Err(NotUnderstood),
        })
    }

    fn why(&self, otherwise: &str) -> String {
        let why = self.error_reason.as_deref().or(self.error_code.as_deref());
        code(why.unwrap_or(otherwise))
    }
}

pub(super) fn read(body: &[u8], id: &str) -> Result<Event, NotUnderstood> {
    let body: Body = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    let kind = body.event.as_str();
    let named = if kind.starts_with("refund.") {
        body.payload.refund.as_ref()
    } else if kind.starts_with("payment.dispute.") {
        body.payload.dispute.as_ref()
    } else {
        body.payload.payment.as_ref()
    };
    let other = || What::Other { kind: kind.chars().take(100).collect() };
    let Some(Of { entity }) = named else {
        let what = other();
        return Ok(Event {
            id: id.to_owned(),
            reference: None,
            payment: None,
            our_reference: None,
            dispute: None,
            what,
        });
    };
    let what = match kind {
        "payment.authorized" => What::Authorized { amount: entity.money()? },
        "payment.captured" => What::Captured { amount: entity.money()? },
        "payment.failed" => What::Declined { code: entity.why("payment_failed") },
        "refund.processed" => What::Refunded { amount: entity.money()? },
        "refund.failed" => What::RefundFailed { code: entity.why("refund_failed") },
        kind if kind.starts_with("payment.dispute.") => entity.disputed(kind)?,
        _ => other(),
    };
    let ours = match what {
        // A capture has the notes of the authorisation.
        What::Captured { .. } => None,
        _ => entity.notes.get("ordinal").and_then(Value::as_str),
    };
    let payment = reference(entity.payment_id.as_deref().unwrap_or(&entity.id))?;
    let id_of = reference(&entity.id)?;
    let (about, dispute) = match what {
        What::DisputeOpened { .. } | What::DisputeWon { .. } | What::DisputeLost { .. } => {
            (payment.clone(), Some(id_of))
        }
        _ => (id_of, None),
    };
    Ok(Event {
        id: id.to_owned(),
        reference: Some(about),
        payment: Some(payment),
        our_reference: our(ours),
        dispute,
        what,
    })
}
