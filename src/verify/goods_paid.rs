//! Whether payments move what the goods of their orders are worth.

use std::collections::{BTreeMap, BTreeSet};

use payment::domain::{Case, Operation, OperationKind, OperationState, Payment, RefundTold};
use shared_events::contract::{CapturePolicy, Fact, FactBody, OrderFact, PaymentId, PaymentPart};

use super::report::{Law, Report};
use super::stores::Batch;
use crate::engine::services::payments::{PAYMENTS, SERVICE};

/// What the goods of a payment are worth, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Worth {
    requested: i64,
    cancelled: i64,
    delivered: i64,
    returned: i64,
}

impl Worth {
    /// What a payment knows of them.
    fn known(case: &Case, payment: &Payment) -> Self {
        let demanded = payment.demands.iter().map(|one| one.amount).fold(0, i64::saturating_add);
        let delivered = match case.plan.as_ref().map(|plan| plan.capture) {
            Some(CapturePolicy::OnConfirm) => payment.goods.delivered,
            _ => demanded,
        };
        let returns = case.refunds.iter().filter(|one| !one.cancelled);
        let returned = returns.flat_map(|one| &one.parts).filter(|(id, _)| *id == payment.id);
        Self {
            requested: payment.requested,
            cancelled: payment.unwanted,
            delivered,
            returned: returned.map(|(_, minor)| *minor).fold(0, i64::saturating_add),
        }
    }
}

/// Checks the payments of these orders.
pub(super) async fn of_orders(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let (handled, _) = batch.handled(&PAYMENTS);
    let with_plan = |details: &order_actor::domain::Details| details.payment.is_some();
    let paid = handled.into_iter().filter(|one| one.history.now().details().is_some_and(with_plan));
    let paid: Vec<_> = paid.collect();
    if paid.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<_> = paid.iter().map(|one| one.order_id).collect();
    let found = payment::store::cases_of(batch.stores.of(&SERVICE)?, &ids).await?;
    let mut found: BTreeMap<_, _> = found.into_iter().map(|case| (case.order_id, case)).collect();
    for one in paid {
        let told = worth(&one.read_part(&PAYMENTS).facts(&one.followers.fact_ids));
        report.check(Law::MoneyAsGoods);
        match found.remove(&one.order_id) {
            // It was cancelled before it asked for money.
            Some(case) if case.plan.is_none() && case.cancelled.is_some() => {}
            Some(case) if case.plan.is_some() => compare(report, &one.subject, &told, &case),
            _ if told.is_empty() => {}
            _ => report.find(Law::MoneyAsGoods, &one.subject, "asked for money nobody asks for"),
        }
    }
    Ok(())
}

/// What facts say of each payment.
fn worth(facts: &[Fact]) -> BTreeMap<PaymentId, Worth> {
    let mut all: BTreeMap<PaymentId, Worth> = BTreeMap::new();
    let mut returns = BTreeSet::new();
    let mut add = |parts: &[PaymentPart], to: fn(&mut Worth) -> &mut i64| {
        for part in parts {
            let sum = to(all.entry(part.payment_id).or_default());
            *sum = sum.saturating_add(part.amount.minor);
        }
    };
    for fact in facts {
        let FactBody::Order(fact) = &fact.body else { continue };
        match fact {
            OrderFact::PaymentRequested { parts, .. } => {
                let part = |one: &shared_events::contract::RequestedPayment| PaymentPart {
                    payment_id: one.payment_id,
                    amount: one.amount,
                };
                add(&parts.iter().map(part).collect::<Vec<_>>(), |worth| &mut worth.requested);
            }
            OrderFact::LinesFulfilled { payments, .. } | OrderFact::Fulfilled { payments, .. } => {
                add(payments, |worth| &mut worth.delivered);
            }
            OrderFact::LinesCancelled { payments, .. } | OrderFact::Cancelled { payments, .. } => {
                add(payments, |worth| &mut worth.cancelled);
            }
            OrderFact::RefundRequested { return_id, payments, .. }
                if returns.insert(*return_id) =>
            {
                add(payments, |worth| &mut worth.returned);
            }
            _ => {}
        }
    }
    all
}

fn compare(report: &mut Report, subject: &str, told: &BTreeMap<PaymentId, Worth>, case: &Case) {
    for payment in &case.payments {
        let known = Worth::known(case, payment);
        let told = told.get(&payment.id).copied().unwrap_or_default();
        if known != told {
            let detail = format!("payment {} knows {known:?}, its order {told:?}", payment.id);
            report.find(Law::MoneyAsGoods, subject, detail);
        } else if let Some(detail) = unpaid(case, payment, known) {
            report.find(Law::MoneyAsGoods, subject, format!("payment {}: {detail}", payment.id));
        }
    }
}

/// Why what was taken and not paid back is not what the goods are worth. While something is under
/// way, or has failed, that cannot be said. What somebody paid back at the provider is not because of
/// goods; what somebody took there is of no parcel. About what does not count for an order that was
/// placed again a person decides; what counts is as if nobody had been asked.
fn unpaid(case: &Case, payment: &Payment, worth: Worth) -> Option<String> {
    let failed = |kind, state| {
        let moves = matches!(kind, OperationKind::Capture | OperationKind::Refund);
        moves && state != OperationState::Succeeded
    };
    let over = |one: &Operation| one.is_of_vanished() && !one.is_open();
    let under_way = payment
        .operations
        .iter()
        .any(|one| one.is_open() || (failed(one.kind, one.state) && !over(one)));
    let refunds = case.refunds.iter().any(|one| one.told != Some(RefundTold::Settled));
    let taken_there = payment.of_kind(OperationKind::Capture).any(|one| one.external);
    let given_up = !payment.failed.is_empty() || case.is_for_a_person();
    if taken_there || under_way || refunds || given_up || !case.lost.is_empty() {
        return None;
    }
    let there = payment.of_kind(OperationKind::Refund).filter(|one| one.external && one.stands());
    let there = there.map(|one| one.amount.minor).fold(0, i64::saturating_add);
    let net = payment.captured().saturating_sub(payment.refunded()).saturating_add(there);
    // What the customer keeps; and what is still to come where all is taken at once.
    let kept = worth.delivered.saturating_sub(worth.returned);
    let all = payment.wanted().saturating_sub(worth.returned);
    let first = case.plan.as_ref().is_some_and(|plan| plan.capture == CapturePolicy::OnConfirm);
    let fits = match payment.captured() {
        0 => net == 0 && (first || kept == 0),
        _ => net == all || (!first && net == kept),
    };
    (!fits).then(|| format!("{net} is taken, {kept} kept, {all} with what is to come"))
}

#[cfg(test)]
mod tests {
    use payment::domain::{Context, Input, Observation, Plan, decide};
    use psp::Capabilities;
    use shared_events::contract::{
        CustomerId, Money, OrderId, PaymentPolicy, RequestedPayment, Timestamp,
    };
    use uuid::Uuid;

    use super::*;

    fn hears(case: &Case, input: Input) -> Case {
        let capabilities = Capabilities {
            multi_capture: true,
            partial_refund: true,
            release_remainder: true,
            payouts: false,
            authorization_seconds: 3_600,
            key_seconds: 3_600,
            grace_seconds: 30,
        };
        let context = Context { capabilities, now: Timestamp::from_micros(0) };
        decide(case, input, &context).unwrap().after
    }

    fn asks(order_id: OrderId, minor: i64) -> Input {
        let plan = Plan {
            customer_id: CustomerId::from_uuid(Uuid::from_u128(2)),
            psp: "cards".parse().unwrap(),
            capture: CapturePolicy::OnConfirm,
            policy: PaymentPolicy::AllOrNone,
            pay_by: Timestamp::from_micros(60_000_000),
            asked_by: None,
        };
        let amount = Money::new(minor, "GBP".parse().unwrap());
        let payment_id = PaymentId::of(order_id, None);
        let parts = vec![RequestedPayment { payment_id, seller: None, amount, fee_bps: 0 }];
        Input::Request { plan, parts }
    }

    /// The newest operation was done.
    fn done(case: &Case) -> Case {
        let operation = case.payments[0].operations.last().unwrap();
        let (reference, amount, valid_until) = ("psp_1".to_owned(), operation.amount, None);
        let seen = Observation::Done { reference, amount, valid_until };
        hears(case, Input::Observed { operation_id: operation.id, seen })
    }

    /// An order of 50.00 that was taken, vanished, and asks for this much again.
    fn placed_again(minor: i64) -> Case {
        let order_id = OrderId::from_uuid(Uuid::from_u128(1));
        let asked = hears(&Case::new(order_id), asks(order_id, 5_000));
        let paid = done(&hears(&asked, Input::Attempt { attempt_id: Uuid::from_u128(3) }));
        let taken = done(&hears(&paid, Input::Confirmed { cause: Uuid::from_u128(4) }));
        let vanished = hears(&taken, Input::Vanished);
        hears(&vanished, asks(order_id, minor))
    }

    fn found(case: &Case, returned: i64) -> Option<String> {
        let requested = case.payments[0].requested;
        unpaid(case, &case.payments[0], Worth { requested, returned, ..Worth::default() })
    }

    #[test]
    fn what_counts_for_an_order_that_was_placed_again_is_compared() {
        let case = placed_again(5_000);
        assert_eq!(found(&case, 0), None);
        let unpaid = found(&case, 1_000).unwrap();
        assert!(unpaid.starts_with("5000 is taken"), "{unpaid}");
    }

    #[test]
    fn what_does_not_count_is_with_a_person() {
        let case = placed_again(4_000);
        let waits = case.payments[0].operations.last().unwrap();
        let seen = Observation::Declined { code: "order_kept".to_owned() };
        let kept = hears(&case, Input::Observed { operation_id: waits.id, seen });
        assert_eq!(found(&kept, 0), None);
    }
}
