//! What others do at the provider: a person in its console, or a customer at their bank.

use serde::{Deserialize, Serialize};
use shared_events::contract::{Money, OperationId, PaymentId, Timestamp};

use super::decide::{Context, Rejection};
use super::react::operation;
use super::{Case, Event, Operation, OperationKind, Payment};

/// Disputes of one payment; further ones are refused.
const DISPUTES_MAX: usize = 20;

/// A dispute of a customer about what was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The provider's name of it.
    pub id: String,
    /// The capture that is disputed.
    pub capture: OperationId,
    /// How much, in minor units.
    pub amount: i64,
    /// Until when evidence can be given, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond_by: Option<Timestamp>,
    /// When it was heard of.
    pub at: Timestamp,
    /// Whether it ended for the seller; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub won: Option<bool>,
}

/// What somebody did at the provider without us, and the provider confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Of which payment.
    pub payment_id: PaymentId,
    /// Took or paid back: a capture or a refund.
    pub kind: OperationKind,
    /// The provider's name of it.
    pub reference: String,
    /// How much was paid back; of a capture, all that is taken of its authorisation.
    pub amount: Money,
}

/// What happens to a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDispute {
    /// Of which payment.
    pub payment_id: PaymentId,
    /// The provider's name of it.
    pub id: String,
    /// The capture that is disputed.
    pub capture: OperationId,
    /// How much.
    pub amount: Money,
    /// Until when evidence can be given, where the provider says so.
    pub respond_by: Option<Timestamp>,
    /// Whether it ended for the seller; absent where it begins.
    pub won: Option<bool>,
}

/// An operation that we never opened is recorded as one that is done.
pub(super) fn external(
    case: &Case,
    what: &External,
    context: &Context,
) -> Result<Vec<Event>, Rejection> {
    let unknown = Rejection::Malformed("a payment that the order has not");
    let payment = case.payment(what.payment_id).ok_or(unknown)?;
    if what.amount.currency != payment.currency {
        return Err(Rejection::Malformed("an amount of another currency"));
    }
    let known = payment.operations.iter().any(|one| {
        one.kind == what.kind && one.reference.as_deref() == Some(what.reference.as_str())
    });
    let taken = payment.captured().saturating_add(payment.capture_pending());
    let minor = match what.kind {
        OperationKind::Capture => what.amount.minor.saturating_sub(taken),
        _ => what.amount.minor,
    };
    let of = match what.kind {
        OperationKind::Capture => payment.standing().filter(|one| payment.left_of(one) >= minor),
        OperationKind::Refund => refundable(payment, minor),
        OperationKind::Authorize | OperationKind::Void => None,
    };
    let Some(of) = of.filter(|_| minor > 0 && !known) else { return Ok(Vec::new()) };
    let key = format!("external/{}", what.reference);
    let made = Operation {
        of: Some(of.id),
        external: true,
        more_follows: what.kind == OperationKind::Capture,
        ..operation(payment, what.kind, &key, of.id.uuid(), minor)
    };
    let (operation_id, reference) = (made.id, what.reference.clone());
    let (amount, valid_until, released, at) = (made.amount, None, None, context.now);
    Ok(vec![
        Event::Opened { payment_id: payment.id, operation: made },
        Event::Succeeded { operation_id, reference, amount, valid_until, released, at },
    ])
}

/// The oldest capture of which so much can be paid back.
pub(super) fn refundable(payment: &Payment, minor: i64) -> Option<&Operation> {
    payment.of_kind(OperationKind::Capture).find(|one| payment.refundable_of(one) >= minor)
}

/// A dispute that is known is not opened again, whatever comes late; a verdict counts where it is
/// another than the last one.
pub(super) fn disputed(
    case: &Case,
    what: OfDispute,
    context: &Context,
) -> Result<Vec<Event>, Rejection> {
    let unknown = Rejection::Malformed("a payment that the order has not");
    let payment = case.payment(what.payment_id).ok_or(unknown)?;
    if what.amount.currency != payment.currency || what.amount.minor < 0 {
        return Err(Rejection::Malformed("an amount below zero, or of another currency"));
    }
    let (payment_id, at) = (payment.id, context.now);
    let known = payment.disputes.iter().find(|one| one.id == what.id);
    let mut events = Vec::new();
    if known.is_none() {
        if payment.disputes.len() >= DISPUTES_MAX {
            return Err(Rejection::Malformed("too many disputes of one payment"));
        }
        let dispute = Dispute {
            id: what.id.clone(),
            capture: what.capture,
            amount: what.amount.minor,
            respond_by: what.respond_by,
            at,
            won: None,
        };
        events.push(Event::Disputed { payment_id, dispute });
    }
    if let Some(won) = what.won.filter(|won| known.and_then(|one| one.won) != Some(*won)) {
        let dispute_id = what.id;
        events.push(Event::DisputeClosed { payment_id, dispute_id, won, at });
    }
    Ok(events)
}
