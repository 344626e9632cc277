//! Orders that the journal lost when it was restored to an earlier state. What is reserved for them
//! is given back; what was taken waits for a person, since goods may have left for it. Where such
//! an order asks for money again, that begins anew.

use shared_events::contract::{OperationId, RequestedPayment, Timestamp};

use super::decide::{Rejection, well_formed};
use super::evolve::requested;
use super::react::{opened, operation};
use super::{Case, Event, Operation, OperationKind, OperationState, Payment, Plan};

/// The code of a refund that waits for a person, and of payments that are given up because of one.
pub const VANISHED: &str = "order_vanished";
/// What that person reads.
pub const VANISHED_NOTE: &str = "the journal was restored and no longer holds this order: pay the \
                                 money back at the provider, or decide to keep it";

/// The order is gone, and so is whoever wanted its money.
pub(super) fn vanished(case: &Case, at: Timestamp) -> Option<Event> {
    (case.plan.is_some() && !case.vanished).then_some(Event::Vanished { at })
}

fn id_of(payment: &Payment, capture: &Operation) -> OperationId {
    Operation::id_of(payment.id, OperationKind::Refund, &key_of(capture))
}

fn key_of(capture: &Operation) -> String {
    format!("vanished/{}", capture.id)
}

/// A refund of what was taken and not paid back. No provider is called for it: a person says what
/// became of it. While a dispute is open it is not known how much is left.
pub(super) fn to_decide(case: &Case) -> Option<Event> {
    if !case.vanished {
        return None;
    }
    case.payments.iter().filter(|one| !one.is_disputed()).find_map(|payment| {
        payment.of_kind(OperationKind::Capture).find_map(|capture| {
            let minor = payment.refundable_of(capture);
            if minor <= 0 {
                return None;
            }
            let (kind, cause) = (OperationKind::Refund, capture.id.uuid());
            let made = Operation {
                of: Some(capture.id),
                state: OperationState::Stuck,
                code: VANISHED.to_owned(),
                ..operation(payment, kind, &key_of(capture), cause, minor)
            };
            opened(payment, made)
        })
    })
}

/// Refunds that wait for a person.
fn waiting(payment: &Payment) -> impl Iterator<Item = &Operation> {
    payment.of_kind(OperationKind::Capture).filter_map(move |capture| {
        let refund = payment.operation(id_of(payment, capture));
        refund.filter(|one| one.state == OperationState::Stuck)
    })
}

/// Whether what was taken of a payment can count for what is asked for now: nothing was, or the
/// same is asked for and nothing of it was paid back.
fn fits(payment: &Payment, parts: &[RequestedPayment]) -> bool {
    if payment.captured().saturating_add(payment.capture_pending()) == 0 {
        return true;
    }
    let same = |part: &RequestedPayment| {
        part.payment_id == payment.id && part.amount.minor == payment.requested
    };
    let waits = waiting(payment).map(|one| one.amount.minor).fold(0, i64::saturating_add);
    let back = payment.refunded().saturating_add(payment.refund_pending()).saturating_sub(waits);
    let back = back.saturating_add(payment.lost_by_disputes());
    parts.iter().any(same) && back == 0 && !payment.is_disputed()
}

/// The order asks for money again. What was taken counts where it is what is asked for; otherwise
/// the order is told that it is not paid, and what was taken stays with the person who decides.
pub(super) fn asked_again(
    case: &Case,
    plan: Plan,
    parts: Vec<RequestedPayment>,
) -> Result<Vec<Event>, Rejection> {
    well_formed(&parts)?;
    let other = |part: &RequestedPayment| {
        case.payment(part.payment_id).is_some_and(|one| one.currency != part.amount.currency)
    };
    if parts.iter().any(other) {
        return Err(Rejection::Malformed("a payment that was asked for in another currency"));
    }
    let counts = case.payments.iter().all(|payment| fits(payment, &parts));
    let mut events = Vec::new();
    if counts {
        events.extend(
            case.payments.iter().flat_map(waiting).map(|one| Event::Declined {
                operation_id: one.id,
                code: "placed_again".to_owned(),
            }),
        );
    }
    let refused = parts.first().filter(|_| !counts).map(|part| part.payment_id);
    events.push(Event::Reappeared { plan, parts });
    events.extend(refused.map(|payment_id| {
        let code = VANISHED.to_owned();
        Event::GivenUp { payment_id, code, whole: true }
    }));
    Ok(events)
}

impl Case {
    /// Forgets what the order said before it vanished; what was done at the provider stays.
    pub(super) fn reappear(&mut self, plan: &Plan, parts: &[RequestedPayment]) {
        self.plan = Some(plan.clone());
        self.reappeared = self.reappeared.saturating_add(1);
        (self.vanished, self.secured, self.failed, self.released) = (false, false, false, false);
        self.cancelled = None;
        self.causes.clear();
        self.lost.clear();
        for payment in &mut self.payments {
            (payment.requested, payment.unwanted) = (0, 0);
            payment.demands.clear();
            payment.failed.clear();
            (payment.goods.delivered, payment.goods.parcel) = (0, None);
        }
        for part in parts {
            match self.payments.iter_mut().find(|one| one.id == part.payment_id) {
                Some(known) => {
                    known.requested = part.amount.minor;
                    // The fee of what was taken is booked already.
                    if known.captured() == 0 {
                        known.fee_bps = part.fee_bps;
                    }
                }
                None => self.payments.push(requested(part)),
            }
        }
    }
}
