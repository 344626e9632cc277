use order_actor::domain::{Event, Order};

use super::history::History;
use super::report::{Law, Report};

/// The laws of the money of an order that has a payment plan, as far as its own history tells.
pub(super) fn check(report: &mut Report, subject: &str, history: &History) {
    let Some(details) = history.now().details() else { return };
    let Some(payment) = &details.payment else { return };
    if let Some(wrong) = confirmed_unpaid(history) {
        report.find(Law::ConfirmedIsPaid, subject, wrong);
    }
    report.check(Law::ConfirmedIsPaid);
    let Order::Cancelled(_) = history.now() else { return };
    report.check(Law::CancelledIsReleased);
    let wanted = payment.wanted();
    if wanted != 0 {
        let detail = format!("is cancelled, and {wanted} of its money is still wanted");
        report.find(Law::CancelledIsReleased, subject, detail);
    }
    let held = history.steps().any(|(event, _)| {
        matches!(
            event,
            Event::StockHeld(_) | Event::PaymentSecured(_) | Event::OrderConfirmed { .. }
        )
    });
    if held != payment.saga.is_some() {
        let detail = "is cancelled, and does not know what it has to give back";
        report.find(Law::CancelledIsReleased, subject, detail);
    }
}

/// Why an order was confirmed that must not have been: counted from the events alone.
fn confirmed_unpaid(history: &History) -> Option<String> {
    let mut stands = None;
    for (event, before) in history.steps() {
        match event {
            Event::PaymentSecured(secured) => stands = Some(secured.amount),
            Event::PaymentLost(_) => stands = None,
            Event::OrderConfirmed { .. } => {
                // What it costs by then, without the units that were cancelled.
                let details = before.details()?;
                let cancelled: i64 =
                    details.lines.iter().map(|line| line.amounts.cancelled.total).sum();
                let wanted = details.totals.total.minor.saturating_sub(cancelled);
                let stands = stands.map_or(0, |amount| amount.minor);
                if stands < wanted {
                    return Some(format!("was confirmed with {stands} of {wanted} secured"));
                }
            }
            _ => {}
        }
    }
    None
}
