//! What follows from a case, one event at a time, until nothing does.

use shared_events::contract::{LossCause, Money, PaymentPart, PaymentPolicy, Timestamp};
use uuid::Uuid;

use super::decide::{Context, may_pay};
use super::payment::ATTEMPTS_MAX;
use super::vanished::to_decide;
use super::{
    Case, Event, Operation, OperationKind, OperationState, Payment, RefundOfOrder, RefundTold,
};

/// The next thing that follows from the case, if anything does. Each is opened or told once.
pub(super) fn react(case: &Case, context: &Context) -> Option<Event> {
    let plan = case.plan.as_ref();
    if plan.is_none() {
        let over = case.cancelled.is_some() && !case.released;
        return over.then_some(Event::Released);
    }
    authorize(case)
        .or_else(|| case.payments.iter().find_map(|one| void(case, one)))
        .or_else(|| case.payments.iter().find_map(|one| capture(case, one, context)))
        .or_else(|| case.refunds.iter().find_map(|one| refund(case, one)))
        .or_else(|| to_decide(case))
        .or_else(|| case.refunds.iter().find_map(|one| refund_told(case, one)))
        .or_else(|| case.earn(context.now))
        .or_else(|| lost(case))
        .or_else(|| secured(case))
        .or_else(|| given_up(case, context))
        .or_else(|| released(case))
}

pub(super) fn operation(
    payment: &Payment,
    kind: OperationKind,
    key: &str,
    cause: Uuid,
    minor: i64,
) -> Operation {
    Operation {
        id: Operation::id_of(payment.id, kind, key),
        kind,
        cause,
        amount: payment.money(minor),
        asked: None,
        of: None,
        psp: None,
        refund_id: None,
        more_follows: false,
        external: false,
        state: OperationState::Open,
        code: String::new(),
        reference: None,
        valid_until: None,
        released: 0,
        of_earned: 0,
        expired: false,
        unasked: None,
    }
}

/// It is opened once, at the provider of what it is of.
pub(super) fn opened(payment: &Payment, operation: Operation) -> Option<Event> {
    let known = payment.operation(operation.id).is_some();
    let of = operation.of.and_then(|of| payment.operation(of));
    let operation = Operation { psp: of.and_then(|of| of.psp.clone()), ..operation };
    (!known).then_some(Event::Opened { payment_id: payment.id, operation })
}

/// The newest attempt pays what is not paid.
fn authorize(case: &Case) -> Option<Event> {
    let attempt = case.attempts.last().filter(|_| case.is_wanted())?;
    // One from before the order asked again is not of it, and has another customer's token.
    if case.is_attempt_of_lost(*attempt) {
        return None;
    }
    let payable = case.payments.iter().filter(|one| may_pay(one));
    payable.filter(|one| one.attempts().count() < ATTEMPTS_MAX).find_map(|payment| {
        let minor = payment.wanted().saturating_sub(payment.taken());
        let (kind, key) = (OperationKind::Authorize, attempt.to_string());
        opened(payment, operation(payment, kind, &key, *attempt, minor))
    })
}

/// Gives back what is reserved and no longer of use: of a payment that is not wanted, of a second
/// authorisation or one of another amount, and what is left once all is taken.
fn void(case: &Case, payment: &Payment) -> Option<Event> {
    let standing = payment.standing().map(|one| one.id);
    let is_idle = |one: &&Operation| {
        let capturing = payment.of_kind(OperationKind::Capture);
        let mut capturing = capturing.filter(|other| other.of == Some(one.id) && other.is_open());
        payment.left_of(one) > 0 && capturing.next().is_none()
    };
    payment.of_kind(OperationKind::Authorize).filter(is_idle).find_map(|one| {
        let useless = standing != Some(one.id)
            || !case.is_wanted()
            || !payment.failed.is_empty()
            || payment.wanted() <= payment.in_hand();
        // With a parcel on its way after a cancellation what it is worth is still taken.
        let due = case.failed || case.vanished || undemanded(payment) <= 0;
        if !useless || (!due && standing == Some(one.id)) {
            return None;
        }
        let kind = OperationKind::Void;
        let cause = case.cancelled.unwrap_or(one.cause);
        let minor = payment.left_of(one);
        let made = Operation {
            of: Some(one.id),
            amount: Money::new(minor, one.amount.currency),
            ..operation(payment, kind, &one.id.to_string(), cause, minor)
        };
        opened(payment, made)
    })
}

/// What is demanded and neither taken nor being taken.
fn undemanded(payment: &Payment) -> i64 {
    let demanded = payment.demands.iter().map(|one| one.amount).fold(0, i64::saturating_add);
    demanded.min(payment.wanted()).saturating_sub(payment.taken())
}

/// Takes what parcels, or the confirmation, are worth. At a provider that takes one part only the
/// first parcel takes all.
fn capture(case: &Case, payment: &Payment, context: &Context) -> Option<Event> {
    let authorization = payment.standing().filter(|_| !case.failed && !case.vanished)?;
    let left = payment.left_of(authorization);
    let taken = payment.taken();
    if left <= 0 {
        return None;
    }
    let once = !context.capabilities.multi_capture;
    let mut through: i64 = 0;
    payment.demands.iter().find_map(|demand| {
        through = through.saturating_add(demand.amount);
        let short = through.min(payment.wanted()).saturating_sub(taken);
        let minor = if once { payment.wanted().saturating_sub(taken) } else { short };
        let minor = minor.min(left);
        if short <= 0 || minor <= 0 {
            return None;
        }
        let key = format!("{}/{}", demand.cause, authorization.id);
        let made = Operation {
            of: Some(authorization.id),
            more_follows: !once && taken.saturating_add(minor) < payment.wanted(),
            ..operation(payment, OperationKind::Capture, &key, demand.cause, minor)
        };
        opened(payment, made)
    })
}

/// What a refund is to give back of each payment.
fn payments_of<'a>(case: &'a Case, refund: &RefundOfOrder) -> impl Iterator<Item = &'a Payment> {
    let of_it = |one: &&Payment| refund.parts.iter().any(|(id, _)| *id == one.id);
    case.payments.iter().filter(of_it)
}

/// An operation of a refund that was declined, or came back.
fn failed_of<'a>(payment: &'a Payment, refund: &'a RefundOfOrder) -> Option<&'a Operation> {
    refund.operations(payment).find(|one| !one.is_used())
}

/// The name of what a refund pays back of a capture. Where all that it paid of it was done as asked
/// and more is owed, since what it had counted is another's or was not paid, that is one more. While
/// something of it is open, or where the provider did another amount, the name is known already.
fn key_of(refund: &RefundOfOrder, payment: &Payment, capture: &Operation) -> String {
    let of_it = refund.operations(payment).filter(|one| one.of == Some(capture.id));
    let first = format!("{}/{}", refund.id, capture.id);
    match of_it.filter(|one| one.stands() && !one.is_mismatch()).count() {
        0 => first,
        times => format!("{first}/{times}"),
    }
}

/// Pays back of the captures, the oldest first. Money that is still being taken is waited for, and
/// so is the end of a dispute: what the customer gets by that is not paid back as well. What fails
/// at one payment does not hold up the others.
fn refund(case: &Case, refund: &RefundOfOrder) -> Option<Event> {
    if refund.told == Some(RefundTold::Failed) || case.is_for_a_person() {
        return None;
    }
    let payments = payments_of(case, refund).filter(|one| failed_of(one, refund).is_none());
    let payments = payments.filter(|one| !one.is_disputed());
    payments.filter(|one| refund.missing_of(one) > 0).find_map(|payment| {
        let mut captures = payment.of_kind(OperationKind::Capture);
        captures.find_map(|capture| {
            let minor = payment.refundable_of(capture).min(refund.missing_of(payment));
            if minor <= 0 {
                return None;
            }
            let key = key_of(refund, payment, capture);
            let made = Operation {
                of: Some(capture.id),
                refund_id: Some(refund.id),
                ..operation(payment, OperationKind::Refund, &key, refund.id.uuid(), minor)
            };
            opened(payment, made)
        })
    })
}

/// Tells the order what became of a refund, once nothing of it is open or waited for. One that
/// vanished waits for none.
fn refund_told(case: &Case, refund: &RefundOfOrder) -> Option<Event> {
    if case.vanished {
        return None;
    }
    let refund_id = refund.id;
    let (mut failed, mut is_missing, mut code) = (None, false, "refund_too_large");
    for payment in payments_of(case, refund) {
        let failed_here = failed_of(payment, refund);
        let is_short = failed_here.is_none() && refund.missing_of(payment) > 0;
        let unsettled = payment.has_open(OperationKind::Capture) || payment.is_disputed();
        let waits = is_short && unsettled;
        // What was paid back for the lost history may still fail.
        let is_before = |one: &Operation| one.unasked.is_some() && one.is_open();
        let refunds = || payment.of_kind(OperationKind::Refund);
        let waits = waits || (refund.before_of(payment.id) > 0 && refunds().any(is_before));
        code = if payment.lost_by_disputes() > 0 { "disputed" } else { code };
        if waits || refund.operations(payment).any(Operation::is_open) {
            return None;
        }
        failed = failed.or(failed_here);
        is_missing |= is_short;
    }
    if failed.is_none() && !is_missing {
        let new = refund.told != Some(RefundTold::Settled);
        return new.then_some(Event::RefundSettled { refund_id });
    }
    // Of what is missing nothing is left that could be paid back; also where it was settled, and
    // what it had counted is another's.
    let code = failed.map_or(code, |one| one.code.as_str()).to_owned();
    let new = refund.told != Some(RefundTold::Failed);
    new.then_some(Event::RefundFailed { refund_id, code })
}

/// Secured money that is gone.
fn lost(case: &Case) -> Option<Event> {
    if !case.secured || !case.is_wanted() {
        return None;
    }
    case.payments.iter().filter(|one| one.is_short() && one.standing().is_none()).find_map(
        |payment| {
            let ended = payment.operations.iter().rev().find_map(|one| match one.kind {
                OperationKind::Authorize if one.expired => Some((one.id, LossCause::Expired)),
                OperationKind::Authorize if one.state == OperationState::Reversed => {
                    Some((one.id, LossCause::Reversed))
                }
                OperationKind::Capture if !one.is_used() => {
                    Some((one.id, LossCause::CaptureFailed))
                }
                // Given back for a reason that the journal lost.
                OperationKind::Void if case.unheard > 0 => Some((one.id, LossCause::Reversed)),
                OperationKind::Refund if one.unasked_of(true) > 0 => {
                    Some((one.id, LossCause::Reversed))
                }
                _ => None,
            });
            let (operation_id, cause) = ended?;
            let new = !case.lost.contains(&operation_id);
            new.then_some(Event::Lost { operation_id, cause })
        },
    )
}

/// Tells the order once all that it wants is reserved or taken.
fn secured(case: &Case) -> Option<Event> {
    if case.secured || !case.is_wanted() {
        return None;
    }
    let wanted: Vec<&Payment> =
        case.payments.iter().filter(|one| one.failed.is_empty() && one.wanted() > 0).collect();
    let mut valid_until = Timestamp::MAX;
    for payment in &wanted {
        match payment.standing() {
            Some(one) => valid_until = valid_until.min(one.valid_until.unwrap_or(valid_until)),
            None if payment.is_short() => return None,
            None => {}
        }
    }
    let part = |one: &&Payment| PaymentPart { payment_id: one.id, amount: one.money(one.wanted()) };
    let parts: Vec<PaymentPart> = wanted.iter().map(part).collect();
    (!parts.is_empty()).then_some(Event::Secured { parts, valid_until })
}

/// Gives a payment up once its attempts are spent, or the time to pay is over.
fn given_up(case: &Case, context: &Context) -> Option<Event> {
    // Where money was secured and lost, the order waits for a new attempt.
    let waits_for_more = !case.secured && case.is_wanted() && case.lost.is_empty();
    let plan = case.plan.as_ref().filter(|_| waits_for_more)?;
    let late = context.now >= plan.pay_by;
    let waits =
        |one: &&Payment| one.is_short() && one.failed.is_empty() && one.standing().is_none();
    case.payments.iter().filter(waits).find_map(|payment| {
        let spent = payment.attempts().count() >= ATTEMPTS_MAX
            && !payment.attempts().any(Operation::is_open);
        let code = match payment.attempts().next_back() {
            _ if !spent && !late => return None,
            Some(last) if !last.code.is_empty() && !last.is_open() => last.code.clone(),
            _ => "not_paid_in_time".to_owned(),
        };
        // A payment of one seller fails alone only while another one can still be paid.
        let others = case
            .payments
            .iter()
            .any(|one| one.id != payment.id && one.wanted() > 0 && one.failed.is_empty());
        let whole = plan.policy == PaymentPolicy::AllOrNone || !others;
        Some(Event::GivenUp { payment_id: payment.id, code, whole })
    })
}

/// Tells the order once all the money of a cancelled order is back.
fn released(case: &Case) -> Option<Event> {
    let over = case.cancelled.is_some() && !case.released && !case.vanished;
    let all = over && case.payments.iter().all(Payment::is_released);
    all.then_some(Event::Released)
}
