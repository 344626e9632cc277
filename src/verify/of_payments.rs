use payment::{PaymentLaw, audit};

use super::report::{Law, Report};
use super::stores::{ROWS, Rest, readable};
use crate::engine::services::payments::SERVICE;

/// Reckons all payments anew.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let found = audit(rest.stores.of(&SERVICE)?).await;
    let Some(found) = readable(report, Law::MoneyChain, ROWS, found)? else { return Ok(()) };
    report.check_many(Law::MoneyChain, found.events);
    report.check_many(Law::PaymentsAsPlanned, found.payments);
    report.check_many(Law::WebhooksSettled, found.webhooks);
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
        };
        report.find(law, one.subject, one.detail);
    }
    Ok(())
}
