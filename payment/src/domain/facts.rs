use shared_events::contract::{
    CapturePolicy, DisputeOutcome, Money, OperationId, PaymentFact, PaymentHeader, PaymentId,
    RefundId, Reversed, Timestamp,
};

use super::{Case, Dispute, Event, Operation, OperationKind, Payment};

/// The facts of an event: `before` and `after` are the case around it. Private events and public
/// facts are separate types, and this is the only bridge between them.
#[must_use]
pub fn facts(before: &Case, event: &Event, after: &Case) -> Vec<PaymentFact> {
    let order_id = after.order_id;
    match event {
        Event::Succeeded { operation_id, at, .. } => succeeded(before, after, *operation_id, *at),
        Event::Reversed { operation_id, at, .. } => {
            reversed(before, after, *operation_id, *at).into_iter().collect()
        }
        Event::Expired { operation_id, at } => {
            expired(before, *operation_id, *at).into_iter().collect()
        }
        Event::Disputed { payment_id, dispute } => {
            dispute_told(after, *payment_id, dispute, None, dispute.at).into_iter().collect()
        }
        Event::DisputeClosed { payment_id, dispute_id, won, at } => {
            let ended = after.payment(*payment_id).and_then(|one| one.dispute(dispute_id));
            let told = ended.and_then(|one| dispute_told(after, *payment_id, one, Some(*won), *at));
            told.into_iter().collect()
        }
        Event::Earned { .. } => earned(before, after, event).into_iter().collect(),
        Event::Secured { parts, valid_until } => {
            let sum = parts
                .iter()
                .map(|part| part.amount)
                .reduce(|sum, next| Money { minor: sum.minor.saturating_add(next.minor), ..sum });
            let told = |amount| PaymentFact::Secured {
                order_id,
                amount,
                valid_until: *valid_until,
                payments: parts.clone(),
            };
            sum.map(told).into_iter().collect()
        }
        Event::GivenUp { payment_id, code, whole } => {
            let alone = after.payment(*payment_id).filter(|_| !whole);
            vec![PaymentFact::Failed {
                order_id,
                payment_id: alone.map(|one| one.id),
                seller: alone.and_then(|one| one.seller.clone()),
                reason: code.clone(),
            }]
        }
        Event::Lost { cause, .. } => vec![PaymentFact::Lost { order_id, cause: *cause }],
        Event::Released => vec![PaymentFact::Released { order_id }],
        Event::RefundSettled { refund_id } | Event::RefundFailed { refund_id, .. } => {
            refund_told(after, event, *refund_id).into_iter().collect()
        }
        Event::Requested { .. }
        | Event::Vanished { .. }
        | Event::Reappeared { .. }
        | Event::Unheard { .. }
        | Event::Attempted { .. }
        | Event::Unwanted { .. }
        | Event::Due { .. }
        | Event::Delivered { .. }
        | Event::RefundDue { .. }
        | Event::Opened { .. }
        | Event::Waits { .. }
        | Event::Declined { .. } => Vec::new(),
    }
}

fn header(
    case: &Case,
    payment: &Payment,
    operation: &Operation,
    minor: i64,
    at: Timestamp,
) -> Option<PaymentHeader> {
    let psp = case.psp_of(operation)?.clone();
    let currency = operation.amount.currency;
    Some(PaymentHeader {
        order_id: case.order_id,
        payment_id: payment.id,
        seller: payment.seller.clone(),
        psp,
        amount: Money::new(minor, currency),
        operation_id: operation.id,
        cause: operation.cause,
        at,
    })
}

fn succeeded(
    before: &Case,
    after: &Case,
    operation_id: OperationId,
    at: Timestamp,
) -> Vec<PaymentFact> {
    let told = || {
        let (payment, operation) = after.operation(operation_id)?;
        let minor = operation.amount.minor;
        let earlier = before.payment(payment.id)?;
        let whole = header(after, payment, operation, minor, at)?;
        let voided = |minor: i64| {
            let authorization = payment.operation(operation.of?)?;
            let ended = header(after, payment, authorization, minor, at)?;
            let payment = PaymentHeader { cause: operation.cause, ..ended };
            Some(PaymentFact::Voided { payment })
        };
        let released = payment.released().saturating_sub(earlier.released());
        let given_back = || (released > 0).then(|| voided(released)).flatten();
        Some(match operation.kind {
            OperationKind::Authorize => {
                let valid_until = operation.valid_until.unwrap_or(at);
                vec![PaymentFact::Authorized { payment: whole, valid_until }]
            }
            OperationKind::Capture => {
                let capture = after.plan.as_ref()?.capture;
                let fee = payment.money(fee_step(capture, earlier, payment));
                let captured = PaymentFact::Captured { payment: whole, fee, capture };
                [Some(captured), given_back()].into_iter().flatten().collect()
            }
            OperationKind::Void => given_back().into_iter().collect(),
            // No payment has one.
            OperationKind::Payout => Vec::new(),
            OperationKind::Refund => {
                let capture = after.plan.as_ref()?.capture;
                let fee = payment.money(fee_step(capture, payment, earlier));
                let held = held_of(capture, payment, minor, operation.of_earned);
                vec![PaymentFact::Refunded { payment: whole, fee, held }]
            }
        })
    };
    told().unwrap_or_default()
}

/// By how much the fee of a payment is higher than the fee of it before, or after.
fn fee_step(capture: CapturePolicy, low: &Payment, high: &Payment) -> i64 {
    high.fee_so_far(capture).saturating_sub(low.fee_so_far(capture))
}

/// What of an amount was held for the customer, since its goods had not left.
fn held_of(capture: CapturePolicy, payment: &Payment, minor: i64, of_earned: i64) -> Option<Money> {
    let held = payment.money(minor.saturating_sub(of_earned));
    (capture == CapturePolicy::OnConfirm && held.minor > 0).then_some(held)
}

fn earned(before: &Case, after: &Case, event: &Event) -> Option<PaymentFact> {
    let Event::Earned { payment_id, operation_id, cause, amount, at } = event else { return None };
    let (earlier, payment) = (before.payment(*payment_id)?, after.payment(*payment_id)?);
    let of = payment.operation(*operation_id)?;
    let header = header(after, payment, of, amount.minor, *at)?;
    let capture = after.plan.as_ref()?.capture;
    let fee = payment.money(fee_step(capture, earlier, payment));
    let through = payment.money(payment.goods.earned);
    Some(PaymentFact::Earned { payment: PaymentHeader { cause: *cause, ..header }, fee, through })
}

fn reversed(
    before: &Case,
    after: &Case,
    operation_id: OperationId,
    at: Timestamp,
) -> Option<PaymentFact> {
    let (earlier, operation) = before.operation(operation_id)?;
    let (payment, _) = after.operation(operation_id)?;
    let capture = after.plan.as_ref()?.capture;
    let minor = operation.amount.minor;
    let lost = payment.goods.lost.saturating_sub(earlier.goods.lost);
    let (reverses, minor, fee, held) = match operation.kind {
        OperationKind::Authorize => (Reversed::Authorization, earlier.left_of(operation), 0, None),
        OperationKind::Capture => {
            let fee = fee_step(capture, payment, earlier);
            (Reversed::Capture, minor, fee, held_of(capture, payment, minor, lost))
        }
        OperationKind::Refund => {
            let fee = fee_step(capture, earlier, payment);
            let held = held_of(capture, payment, minor, operation.of_earned);
            (Reversed::Refund, minor, fee, held)
        }
        // What was given back is not taken again, and payouts are of no payment.
        OperationKind::Void | OperationKind::Payout => return None,
    };
    // Money that was not taken after all is reserved again, while its authorisation stands.
    let left = |payment: &Payment| Some(payment.left_of(payment.operation(operation.of?)?));
    let again = left(payment).zip(left(earlier)).map(|(now, then)| now.saturating_sub(then));
    let restored = again.filter(|minor| *minor > 0).map(|minor| payment.money(minor));
    let fee = payment.money(fee);
    let payment = header(before, earlier, operation, minor, at)?;
    Some(PaymentFact::Reversed { payment, reverses, fee, held, restored })
}

fn expired(before: &Case, operation: OperationId, at: Timestamp) -> Option<PaymentFact> {
    let (payment, operation) = before.operation(operation)?;
    let payment = header(before, payment, operation, payment.left_of(operation), at)?;
    Some(PaymentFact::Expired { payment })
}

fn dispute_told(
    case: &Case,
    payment: PaymentId,
    dispute: &Dispute,
    won: Option<bool>,
    at: Timestamp,
) -> Option<PaymentFact> {
    let payment = case.payment(payment)?;
    let capture = payment.operation(dispute.capture)?;
    let payment = header(case, payment, capture, dispute.amount, at)?;
    let (dispute_id, respond_by) = (dispute.id.clone(), dispute.respond_by);
    Some(match won {
        None => PaymentFact::Disputed { payment, dispute_id, respond_by },
        Some(won) => {
            let outcome = if won { DisputeOutcome::Won } else { DisputeOutcome::Lost };
            PaymentFact::DisputeClosed { payment, dispute_id, outcome }
        }
    })
}

fn refund_told(case: &Case, event: &Event, refund_id: RefundId) -> Option<PaymentFact> {
    let refund = case.refunds.iter().find(|one| one.id == refund_id)?;
    let (first, _) = refund.parts.first()?;
    let (first, order_id) = (case.payment(*first)?, case.order_id);
    let asked = refund.parts.iter().map(|(_, minor)| *minor).fold(0, i64::saturating_add);
    // What was never taken was not owed.
    let of_it = |one: &&Payment| refund.parts.iter().any(|(id, _)| *id == one.id);
    let owed = case.payments.iter().filter(of_it).map(|one| refund.owed_of(one));
    let amount = first.money(owed.fold(0, i64::saturating_add));
    Some(match event {
        Event::RefundFailed { code, .. } => {
            let amount = first.money(asked);
            PaymentFact::RefundFailed { order_id, refund_id, amount, code: code.clone() }
        }
        _ => PaymentFact::RefundSettled { order_id, refund_id, amount },
    })
}
