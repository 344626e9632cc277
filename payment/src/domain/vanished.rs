//! Orders that the journal lost when it was restored to an earlier state. What is reserved for them
//! is given back; what was taken waits for a person, since goods may have left for it. Where such
//! an order asks for money again, that begins anew.

use shared_events::contract::{RequestedPayment, Timestamp};

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

/// The journal can lose an order more than once: each time it is asked about what was taken for it.
/// What does not count for what it asks now was asked about, or is, as of when it did. Where more is
/// there than was asked about, since a refund failed that was under way or came back, that is asked
/// about as well; not what a person keeps, which is returned beside the key.
fn key_of(case: &Case, payment: &Payment, capture: &Operation) -> Option<(String, i64)> {
    let first = match case.uncounted.unwrap_or(case.reappeared) {
        0 => format!("vanished/{}", capture.id),
        times => format!("vanished/{}/again/{times}", capture.id),
    };
    let mut kept: i64 = 0;
    for nth in 0..=payment.operations.len() {
        let key = if nth == 0 { first.clone() } else { format!("{first}/more/{nth}") };
        let id = Operation::id_of(payment.id, OperationKind::Refund, &key);
        match payment.operation(id) {
            None => return Some((key, kept)),
            Some(known) if known.state == OperationState::Declined => {
                kept = kept.saturating_add(known.amount.minor);
            }
            Some(_) => {}
        }
    }
    None
}

/// A refund of what was taken and not paid back. No provider is called for it: a person says what
/// became of it. While a dispute is open it is not known how much is left. What is known late is
/// decided as well where the order was placed again otherwise meanwhile.
pub(super) fn to_decide(case: &Case) -> Option<Event> {
    if !case.is_for_a_person() {
        return None;
    }
    case.payments.iter().filter(|one| !one.is_disputed()).find_map(|payment| {
        payment.of_kind(OperationKind::Capture).find_map(|capture| {
            let (key, kept) = key_of(case, payment, capture)?;
            let minor = payment.refundable_of(capture).saturating_sub(kept);
            if minor <= 0 {
                return None;
            }
            let (kind, cause) = (OperationKind::Refund, capture.id.uuid());
            let made = Operation {
                of: Some(capture.id),
                state: OperationState::Stuck,
                code: VANISHED.to_owned(),
                ..operation(payment, kind, &key, cause, minor)
            };
            opened(payment, made)
        })
    })
}

/// Refunds that wait for a person.
fn waiting(payment: &Payment) -> impl Iterator<Item = &Operation> {
    let refunds = payment.of_kind(OperationKind::Refund);
    refunds.filter(|one| one.is_of_vanished() && one.state == OperationState::Stuck)
}

/// Whether what was taken of a payment can count for what is asked for now: nothing was, or the
/// same is asked for in the same way, at the provider that took it, and nothing of it was paid back.
/// What did not count once does not count later.
fn fits(case: &Case, payment: &Payment, plan: &Plan, parts: &[RequestedPayment]) -> bool {
    let part = parts.iter().find(|part| part.payment_id == payment.id);
    let mut captures = payment.of_kind(OperationKind::Capture);
    if payment.captured().saturating_add(payment.capture_pending()) == 0 {
        // What failed to be taken may be taken after all, in the currency that it has.
        let other = part.is_some_and(|part| part.amount.currency != payment.currency);
        return !other || captures.next().is_none();
    }
    let same = part.is_some_and(|part| part.amount == payment.money(payment.requested));
    let policy = case.plan.as_ref().is_some_and(|known| known.capture == plan.capture);
    let there = captures.filter(|one| one.is_used()).all(|one| case.psp_of(one) == Some(&plan.psp));
    let alike = same && policy && there && case.uncounted.is_none();
    let waits = waiting(payment).map(|one| one.amount.minor).fold(0, i64::saturating_add);
    let back = payment.refunded().saturating_add(payment.refund_pending()).saturating_sub(waits);
    let back = back.saturating_add(payment.lost_by_disputes());
    alike && back == 0 && !payment.is_disputed()
}

/// The order asks for money again. What was taken counts where it is what is asked for; otherwise
/// the order is told that it is not paid, and what was taken stays with the person who decides.
pub(super) fn asked_again(
    case: &Case,
    plan: Plan,
    parts: Vec<RequestedPayment>,
) -> Result<Vec<Event>, Rejection> {
    well_formed(&parts)?;
    let counts = case.payments.iter().all(|payment| fits(case, payment, &plan, &parts));
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
    events.push(Event::Reappeared { plan, parts, uncounted: !counts });
    events.extend(refused.map(|payment_id| {
        let code = VANISHED.to_owned();
        Event::GivenUp { payment_id, code, whole: true }
    }));
    Ok(events)
}

impl Case {
    /// Forgets what the order said before it vanished; what was done at the provider stays.
    pub(super) fn reappear(&mut self, plan: &Plan, parts: &[RequestedPayment], uncounted: bool) {
        let mut stands = plan.clone();
        // What was taken is paid back as it was booked; nothing is taken for what does not count.
        if let Some(known) = self.plan.as_ref().filter(|_| uncounted) {
            stands.capture = known.capture;
        }
        let before = self.plan.replace(stands).map(|one| one.psp);
        let before = before.filter(|psp| *psp != plan.psp);
        self.uncounted = uncounted.then(|| self.uncounted.unwrap_or(self.reappeared));
        self.reappeared = self.reappeared.saturating_add(1);
        (self.vanished, self.secured, self.failed, self.released) = (false, false, false, false);
        self.cancelled = None;
        self.causes.clear();
        self.lost.clear();
        self.refunds.clear();
        for payment in &mut self.payments {
            (payment.requested, payment.unwanted) = (0, 0);
            payment.demands.clear();
            payment.failed.clear();
            payment.earlier = payment.operations.len();
            for one in &mut payment.operations {
                one.unasked = None;
                if one.psp.is_none() {
                    one.psp.clone_from(&before);
                }
            }
            (payment.goods.delivered, payment.goods.parcel) = (0, None);
        }
        for part in parts {
            match self.payments.iter_mut().find(|one| one.id == part.payment_id) {
                Some(known) => {
                    known.requested = part.amount.minor;
                    if known.of_kind(OperationKind::Capture).next().is_none() {
                        known.currency = part.amount.currency;
                    }
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
