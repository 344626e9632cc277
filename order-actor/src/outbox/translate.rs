use shared_events::contract::{
    ChargeFact, LineUnits, Money, OrderFact, OrderHeader, OrderLineFact, Quantity, ReturnedUnits,
    Timestamp, TotalsFact,
};

use crate::domain::{Details, Event, Line, LineQuantity, Order, OrderCharge, Restitution, Totals};

/// The facts published for an event. Private events and public facts are separate types, and this
/// is the only bridge between them. `after` is the order after the event.
#[must_use]
pub fn translate(after: &Order, event: &Event) -> Vec<OrderFact> {
    let Some(details) = after.details() else { return Vec::new() };
    let order = header(details);
    match event {
        Event::OrderPlaced { placed_at, confirm_by, .. } => {
            vec![created(order, details, *placed_at, *confirm_by)]
        }
        Event::OrderConfirmed { reservation_id, .. } => {
            vec![OrderFact::Confirmed { order, reservation_id: *reservation_id }]
        }
        Event::LinesCancelled { lines, reason, text, .. } => {
            let (lines, text) = (units(details, lines), text.clone());
            vec![OrderFact::LinesCancelled { order, lines, reason: *reason, text }]
        }
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: _ } => {
            vec![OrderFact::Cancelled {
                order,
                reason: *reason,
                was_confirmed: *was_confirmed,
                skus: skus.clone(),
                text: text.clone(),
            }]
        }
        Event::LinesFulfilled { shipment_id, lines, carrier, tracking, .. } => {
            let (shipment_id, lines) = (*shipment_id, units(details, lines));
            let (carrier, tracking) = (carrier.clone(), tracking.clone());
            vec![OrderFact::LinesFulfilled { order, shipment_id, lines, carrier, tracking }]
        }
        Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, .. } => {
            vec![OrderFact::Fulfilled {
                order,
                shipment_id: *shipment_id,
                lines: units(details, lines),
                carrier: carrier.clone(),
                tracking: tracking.clone(),
                return_until: *return_until,
            }]
        }
        Event::ReturnRequested { return_id, lines, reason, .. } => {
            let (lines, reason) = (units(details, lines), reason.clone());
            vec![OrderFact::ReturnRequested { order, return_id: *return_id, lines, reason }]
        }
        Event::ReturnEscalated { return_id, .. } => {
            vec![OrderFact::ReturnOverdue { order, return_id: *return_id }]
        }
        Event::ReturnApproved { return_id, lines, refund, refund_told, .. } => {
            let (return_id, lines) = (*return_id, returned(details, lines));
            let mut facts = vec![OrderFact::Returned { order: order.clone(), return_id, lines }];
            if *refund_told {
                facts.push(OrderFact::RefundRequested { order, return_id, refund: *refund });
            }
            facts
        }
        Event::ReturnRejected { return_id, reason, .. } => {
            vec![OrderFact::ReturnRejected { order, return_id: *return_id, reason: reason.clone() }]
        }
    }
}

fn created(
    order: OrderHeader,
    details: &Details,
    placed_at: Timestamp,
    confirm_by: Timestamp,
) -> OrderFact {
    OrderFact::Created {
        order,
        lines: details.lines.iter().filter_map(placed).collect(),
        placed_at,
        confirm_by,
        charges: details.charges.iter().map(charge).collect(),
        totals: (!details.totals.is_plain()).then(|| Box::new(totals(&details.totals))),
    }
}

fn header(details: &Details) -> OrderHeader {
    OrderHeader {
        order_id: details.order_id,
        customer_id: details.customer_id,
        contact: details.person.contact.clone(),
        total: details.totals.total,
    }
}

/// A line as it was placed; every line has units.
fn placed(line: &Line) -> Option<OrderLineFact> {
    let quantity = Quantity::new(line.ordered).ok()?;
    let total = Money::new(line.amounts.ordered.total, line.unit_price.currency);
    let is_plain = line.unit_price.times(quantity) == Ok(total);
    Some(OrderLineFact {
        line: line.number,
        sku: line.sku.clone(),
        quantity,
        unit_price: line.unit_price,
        title: title(line),
        attributes: line.terms.as_ref().map(|said| said.attributes.clone()).unwrap_or_default(),
        total: (!is_plain).then_some(total),
    })
}

/// The line's name for people; empty for most.
fn title(line: &Line) -> String {
    line.terms.as_ref().map(|said| said.title.clone()).unwrap_or_default()
}

fn charge(OrderCharge { charge, amount, .. }: &OrderCharge) -> ChargeFact {
    ChargeFact {
        kind: charge.kind.code().to_owned(),
        label: charge.label.clone(),
        total: Money::new(amount.total, charge.amount.currency),
    }
}

const fn totals(totals: &Totals) -> TotalsFact {
    let Totals { goods, discounts, charges, tax, total } = *totals;
    TotalsFact { goods, discounts, charges, tax, total }
}

fn returned(details: &Details, lines: &[Restitution]) -> Vec<ReturnedUnits> {
    let unit = |line: &Restitution| {
        let Restitution { line, quantity, disposition } = *line;
        let known = line_of(details, line)?;
        let (sku, title) = (known.sku.clone(), title(known));
        Some(ReturnedUnits { line, sku, quantity, disposition, title })
    };
    lines.iter().filter_map(unit).collect()
}

fn units(details: &Details, lines: &[LineQuantity]) -> Vec<LineUnits> {
    let unit = |line: u32, quantity: Quantity| {
        let known = line_of(details, line)?;
        Some(LineUnits { line, sku: known.sku.clone(), quantity, title: title(known) })
    };
    lines.iter().filter_map(|line| unit(line.line, line.quantity)).collect()
}

/// The line of this number. `evolve` has accepted the event, so it exists.
fn line_of(details: &Details, line: u32) -> Option<&Line> {
    details.lines.iter().find(|known| known.number == line)
}
