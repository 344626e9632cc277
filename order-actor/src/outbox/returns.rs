//! The facts of returns.

use shared_events::contract::{KeptUnits, OrderFact, OrderHeader, ReturnId, ReturnedUnits};

use super::payments;
use super::translate::{title, units};
use crate::domain::{Details, Event, OutcomeUnits, Restitution};

/// The facts of an event of a return; none of other events.
pub(super) fn facts(order: OrderHeader, details: &Details, event: &Event) -> Vec<OrderFact> {
    match event {
        Event::ReturnRequested {
            return_id, lines, reason, reference, exchange_order_id, ..
        } => {
            vec![OrderFact::ReturnRequested {
                order,
                return_id: *return_id,
                lines: units(details, lines),
                reason: reason.clone(),
                return_reference: reference.clone(),
                exchange_order_id: *exchange_order_id,
            }]
        }
        Event::ReturnEscalated { return_id, .. } => {
            vec![OrderFact::ReturnOverdue { order, return_id: *return_id }]
        }
        Event::ReturnAuthorized { return_id, lines, kept, rejected_reason, refund, .. } => {
            vec![OrderFact::ReturnApproved {
                order,
                return_id: *return_id,
                lines: units(details, lines),
                return_reference: reference_of(details, *return_id),
                kept: kept_units(details, kept),
                rejected_reason: rejected_reason.clone(),
                refund: *refund,
            }]
        }
        Event::ReturnReceived { .. } | Event::ReturnApproved { .. } => {
            taken_back(order, details, event)
        }
        Event::ReturnRejected { return_id, reason, .. } => {
            let return_reference = reference_of(details, *return_id);
            let (return_id, reason) = (*return_id, reason.clone());
            vec![OrderFact::ReturnRejected { order, return_id, reason, return_reference }]
        }
        _ => Vec::new(),
    }
}

/// Units taken back, and their refund unless it is nothing.
fn taken_back(order: OrderHeader, details: &Details, event: &Event) -> Vec<OrderFact> {
    let (return_id, lines, kept, rejected_reason, refund, told, location) = match event {
        Event::ReturnReceived {
            return_id, lines, kept, rejected_reason, refund, location, ..
        } => (*return_id, lines, kept, rejected_reason, *refund, refund.minor > 0, location),
        Event::ReturnApproved {
            return_id,
            lines,
            kept,
            rejected_reason,
            refund,
            refund_told,
            location,
            ..
        } => (*return_id, lines, kept, rejected_reason, *refund, *refund_told, location),
        _ => return Vec::new(),
    };
    let kept = kept_units(details, kept);
    let return_reference = reference_of(details, return_id);
    let mut facts = vec![OrderFact::Returned {
        order: order.clone(),
        return_id,
        lines: returned(details, lines),
        return_reference: return_reference.clone(),
        kept: kept.clone(),
        rejected_reason: rejected_reason.clone(),
        location: location.clone(),
    }];
    if told {
        facts.push(OrderFact::RefundRequested {
            order,
            return_id,
            refund,
            return_reference,
            kept,
            rejected_reason: rejected_reason.clone(),
            payments: payments::moved(details),
        });
    }
    facts
}

/// The warehouse's own id of a return, waiting or judged.
fn reference_of(details: &Details, id: ReturnId) -> String {
    let waiting = details.waiting_return(id);
    let known = waiting.or_else(|| details.judged(id).map(|judged| judged.request.as_ref()));
    known.map(|known| known.reference.clone()).unwrap_or_default()
}

fn kept_units(details: &Details, kept: &[OutcomeUnits]) -> Vec<KeptUnits> {
    let unit = |units: &OutcomeUnits| {
        let (line, quantity) = (units.line, units.quantity);
        let outcome = units.outcome.code().to_owned();
        Some(KeptUnits { line, sku: details.line(line)?.sku.clone(), quantity, outcome })
    };
    kept.iter().filter_map(unit).collect()
}

pub(super) fn returned(details: &Details, lines: &[Restitution]) -> Vec<ReturnedUnits> {
    let unit = |line: &Restitution| {
        let Restitution { line, quantity, disposition } = *line;
        let known = details.line(line)?;
        let (sku, title) = (known.sku.clone(), title(known));
        Some(ReturnedUnits { line, sku, quantity, disposition, title })
    };
    lines.iter().filter_map(unit).collect()
}
