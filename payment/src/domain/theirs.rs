//! What others do at the provider: a person in its console, or a customer at their bank.

use serde::{Deserialize, Serialize};
use shared_events::contract::{Money, OperationId, PaymentId, Timestamp};

use super::decide::{Context, Rejection};
use super::react::operation;
use super::{Case, Event, Impossible, Operation, OperationKind, Payment};

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
    /// Of which authorisation, where the provider names it.
    pub authorization: Option<OperationId>,
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

/// An operation that we never opened is recorded as one that is done. What is not known and fits
/// nothing is for a person.
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
    let parts = match what.kind {
        OperationKind::Capture => taken_of(payment, what)?.into_iter().collect(),
        OperationKind::Refund => paid_back_of(payment, what)?,
        OperationKind::Authorize | OperationKind::Void | OperationKind::Payout => Vec::new(),
    };
    let is_capture = what.kind == OperationKind::Capture;
    let more_follows = is_capture && context.capabilities.multi_capture;
    let done = parts.into_iter().flat_map(|(of, key, minor)| {
        let made = Operation {
            of: Some(of.id),
            psp: of.psp.clone(),
            external: true,
            more_follows,
            ..operation(payment, what.kind, &key, of.id.uuid(), minor)
        };
        let gives_back = is_capture && !more_follows && context.capabilities.release_remainder;
        let left = payment.left_of(of).saturating_sub(minor);
        let released = (gives_back && left > 0).then_some(left);
        let (operation_id, reference) = (made.id, what.reference.clone());
        let (amount, valid_until, at) = (made.amount, None, context.now);
        [
            Event::Opened { payment_id: payment.id, operation: made },
            Event::Succeeded { operation_id, reference, amount, valid_until, released, at },
        ]
    });
    Ok(done.collect())
}

/// Of what, by which key and how much.
type Part<'a> = (&'a Operation, String, i64);

/// What was taken of an authorisation, and is not known.
fn taken_of<'a>(payment: &'a Payment, what: &External) -> Result<Option<Part<'a>>, Rejection> {
    let named = what.authorization.and_then(|id| payment.operation(id));
    let taken = match named {
        Some(of) => payment.captured_of(of),
        None => payment.captured(),
    };
    let minor = what.amount.minor.saturating_sub(taken);
    if minor <= 0 {
        return Ok(None);
    }
    if payment.has_open(OperationKind::Capture) {
        return Err(Rejection::UnderWay);
    }
    let fits = |one: &&Operation| !payment.is_being_voided(one) && payment.left_of(one) >= minor;
    let of = named.or_else(|| payment.standing()).filter(fits);
    let of = of.ok_or(Rejection::Malformed("somebody took what no reservation has left"))?;
    // The provider can call all captures of an authorisation the same.
    let key = format!("external/{}/{}", what.reference, what.amount.minor);
    match payment.operation(Operation::id_of(payment.id, OperationKind::Capture, &key)) {
        None => Ok(Some((of, key, minor))),
        Some(known) if known.stands() => Ok(None),
        Some(_) => Err(Rejection::Malformed("somebody took once more what had come back")),
    }
}

/// The captures that a refund is of, the oldest first.
fn paid_back_of<'a>(payment: &'a Payment, what: &External) -> Result<Vec<Part<'a>>, Rejection> {
    let mut refunds = payment.of_kind(OperationKind::Refund);
    if refunds.any(|one| one.reference.as_deref() == Some(what.reference.as_str())) {
        return Ok(Vec::new());
    }
    let mut rest = what.amount.minor;
    let mut all = payment.refundable();
    let mut parts = Vec::new();
    for capture in payment.of_kind(OperationKind::Capture) {
        let minor = payment.refundable_of(capture).min(rest).min(all);
        if minor > 0 {
            parts.push((capture, format!("external/{}/{}", what.reference, capture.id), minor));
            rest = rest.saturating_sub(minor);
            all = all.saturating_sub(minor);
        }
    }
    if rest > 0 {
        return Err(Rejection::Malformed("somebody paid back more than is left of what was taken"));
    }
    Ok(parts)
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

impl Case {
    /// A dispute begins or ends.
    pub(super) fn dispute(&mut self, event: &Event) -> Result<(), Impossible> {
        match event {
            Event::Disputed { payment_id, dispute } => {
                self.payment_mut(*payment_id)?.disputes.push(dispute.clone());
            }
            Event::DisputeClosed { payment_id, dispute_id, won, .. } => {
                let disputes = &mut self.payment_mut(*payment_id)?.disputes;
                let dispute = disputes.iter_mut().find(|one| one.id == *dispute_id);
                dispute.ok_or(Impossible("no such dispute"))?.won = Some(*won);
            }
            _ => return Err(Impossible("not about a dispute")),
        }
        Ok(())
    }
}
