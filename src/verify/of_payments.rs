use payment::domain::{Case, OperationState, Payment};
use payment::{PaymentLaw, audit};

use super::report::{Law, Report};
use super::stores::{ROWS, Rest, readable};
use crate::engine::services::payments::SERVICE;

/// Reckons all payments anew.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let found = audit(rest.stores.of(&SERVICE)?, |case| {
        // Nobody's money is left with payments of an order that the journal does not hold.
        if let Some(what) = left_of(case) {
            rest.stray(report, Law::MoneyAsGoods, case.order_id, what);
        }
    })
    .await;
    let Some(found) = readable(report, Law::MoneyChain, ROWS, found)? else { return Ok(()) };
    report.check_many(Law::MoneyChain, found.events);
    report.check_many(Law::PaymentsAsPlanned, found.payments);
    report.check_many(Law::WebhooksSettled, found.webhooks);
    report.check_many(Law::SettlementSums, found.lines);
    for law in [Law::OperationsDue, Law::OnceAtPsp] {
        report.check_many(law, found.operations);
    }
    for one in found.findings {
        let law = match one.law {
            PaymentLaw::Chain => Law::MoneyChain,
            PaymentLaw::AsPlanned => Law::PaymentsAsPlanned,
            PaymentLaw::OperationsDue => Law::OperationsDue,
            PaymentLaw::Once => Law::OnceAtPsp,
            PaymentLaw::WebhooksSettled => Law::WebhooksSettled,
            PaymentLaw::SettlementSums => Law::SettlementSums,
        };
        report.find(law, one.subject, one.detail);
    }
    Ok(())
}

/// What is left of an order's payments if there is no such order. Once it is known that there is
/// none, a person decides about what was taken.
fn left_of(case: &Case) -> Option<&'static str> {
    let stuck = |one: &Payment| {
        one.operations.iter().any(|operation| operation.state == OperationState::Stuck)
    };
    match case.vanished {
        true if case.payments.iter().any(stuck) => {
            Some("money that waits for a person (ordinal payment stuck)")
        }
        true => None,
        false if !case.payments.iter().all(Payment::is_released) => {
            Some("money that is reserved or taken")
        }
        false => None,
    }
}
