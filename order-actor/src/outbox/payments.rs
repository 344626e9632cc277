//! The facts about the money of orders with a payment plan.

use shared_events::contract::{
    CapturePolicy, Money, OrderFact, OrderHeader, PaymentPart, RefundId, RequestedPayment,
};

use crate::domain::{Details, Event, Payment, PlanPart, StockHeld, seller_name};

/// The facts of an event about money. They name the order and its customer, which facts of payments
/// do not. What was taken of each payment is not told again; `compensated` is whether all that the
/// order held is back after it.
pub(super) fn facts(
    order: OrderHeader,
    details: &Details,
    event: &Event,
    compensated: bool,
) -> Vec<OrderFact> {
    let Some(payment) = details.payment.as_deref() else { return Vec::new() };
    match event {
        Event::StockHeld(held) => vec![requested(order, payment, held)],
        Event::PaymentLost(lost) => vec![OrderFact::PaymentLost { order, cause: lost.cause }],
        Event::PaymentSecured(secured) => {
            vec![OrderFact::PaymentSecured { order, amount: secured.amount }]
        }
        Event::RefundSettled(settled) => {
            let (refund_id, amount) = (settled.refund_id, settled.amount);
            vec![OrderFact::RefundSettled { order, refund_id, amount }]
        }
        Event::RefundFailed(failed) => vec![OrderFact::RefundFailed {
            order,
            refund_id: failed.refund_id,
            amount: failed.amount,
            code: failed.code.clone(),
        }],
        Event::CompensationCompleted(_) if compensated => {
            let needs = payment.saga.map(|saga| saga.needs).unwrap_or_default();
            vec![OrderFact::Compensated { order, stock: needs.stock, money: needs.money }]
        }
        _ => Vec::new(),
    }
}

fn requested(order: OrderHeader, payment: &Payment, held: &StockHeld) -> OrderFact {
    let currency = order.total.currency;
    let plan = &payment.plan;
    let part = |part: &PlanPart| RequestedPayment {
        seller: seller_name(part.seller),
        payment_id: part.payment_id,
        amount: Money::new(part.wanted(), currency),
        fee_bps: plan.fee_of(part.seller),
    };
    let parts = payment.parts.iter().filter(|part| part.wanted() > 0).map(part).collect();
    let (psp, pay_by) = (plan.psp.clone(), held.pay_by);
    let (capture, policy) = (plan.capture, plan.policy);
    OrderFact::PaymentRequested { order, psp, capture, policy, pay_by, parts }
}

/// What is taken when the order is confirmed, by a plan that says so.
pub(super) fn taken_at_once(details: &Details) -> Vec<PaymentPart> {
    let currency = details.totals.total.currency;
    let plan = details.payment.as_deref();
    let plan = plan.filter(|payment| payment.plan.capture == CapturePolicy::OnConfirm);
    let parts = plan.into_iter().flat_map(|payment| &payment.parts);
    let part = |part: &PlanPart| PaymentPart {
        payment_id: part.payment_id,
        amount: Money::new(part.wanted(), currency),
    };
    parts.filter(|part| part.wanted() > 0).map(part).collect()
}

/// What the event before moves of each payment; nothing without a plan.
pub(super) fn moved(details: &Details) -> Vec<PaymentPart> {
    let currency = details.totals.total.currency;
    let parts = details.payment.iter().flat_map(|payment| &payment.moved.parts);
    let part = |(payment_id, minor): &(_, i64)| PaymentPart {
        payment_id: *payment_id,
        amount: Money::new(*minor, currency),
    };
    parts.map(part).collect()
}

/// The refund that a cancellation causes where money was taken.
pub(super) fn refund_id(details: &Details) -> Option<RefundId> {
    details.payment.as_ref().and_then(|payment| payment.moved.refund_id)
}
