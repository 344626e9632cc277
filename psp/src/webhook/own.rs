//! The simulator's bodies.

use serde::Deserialize;
use shared_events::contract::Timestamp;

use super::{NotUnderstood, code, money, our, reference};
use crate::{Dialect, Event, What};

#[derive(Deserialize)]
struct Body {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    reference: Option<String>,
    payment: Option<String>,
    our_reference: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    code: Option<String>,
    dispute: Option<String>,
    respond_by: Option<Timestamp>,
}

pub(super) fn read(body: &[u8]) -> Result<Event, NotUnderstood> {
    let body: Body = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    let data = body.data;
    let amount = || {
        let (amount, currency) = (data.amount, data.currency.as_deref());
        let (amount, currency) = amount.zip(currency).ok_or(NotUnderstood)?;
        money(Dialect::Simulator, amount, currency)
    };
    let why = || code(data.code.as_deref().unwrap_or_default());
    let what = match body.kind.as_str() {
        "authorized" => What::Authorized { amount: amount()? },
        "action_required" => What::ActionRequired,
        "declined" => What::Declined { code: why() },
        "captured" => What::Captured { amount: amount()? },
        "capture_failed" => What::CaptureFailed { code: why() },
        "voided" => What::Voided,
        "expired" => What::Expired,
        "reversed" => What::Reversed,
        "refunded" => What::Refunded { amount: amount()? },
        "refund_failed" => What::RefundFailed { code: why() },
        "payout_paid" => What::PayoutPaid { amount: amount()? },
        "payout_failed" => What::PayoutFailed { code: why() },
        "dispute_opened" => What::DisputeOpened { amount: amount()?, respond_by: data.respond_by },
        "dispute_won" => What::DisputeWon { amount: amount()? },
        "dispute_lost" => What::DisputeLost { amount: amount()? },
        other => What::Other { kind: other.chars().take(100).collect() },
    };
    Ok(Event {
        id: reference(&body.id)?.to_string(),
        reference: data.reference.as_deref().map(reference).transpose()?,
        payment: data.payment.as_deref().map(reference).transpose()?,
        our_reference: our(data.our_reference.as_deref()),
        dispute: data.dispute.as_deref().map(reference).transpose()?,
        what,
    })
}
