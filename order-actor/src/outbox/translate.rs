use shared_events::contract::{
    ChargeFact, LineUnits, Money, OrderFact, OrderHeader, OrderLineFact, Quantity, ReturnedUnits,
    Sku, TotalsFact,
};

use crate::domain::{Details, Event, Line, LineQuantity, Order, OrderCharge, Restitution, Totals};

/// The facts published for an event. Private events and public facts are separate types, and this
/// is the only bridge between them. `after` is the order after the event.
#[must_use]
pub fn translate(after: &Order, event: &Event) -> Vec<OrderFact> {
    let Some(details) = after.details() else { return Vec::new() };
    let order = header(details);
    match event {
        Event::OrderPlaced { placed_at, confirm_by, .. } => vec![OrderFact::Created {
            order,
            lines: details.lines.iter().filter_map(placed).collect(),
            placed_at: *placed_at,
            confirm_by: *confirm_by,
            charges: details.charges.iter().map(charge).collect(),
            totals: (!details.totals.is_plain()).then(|| Box::new(totals(&details.totals))),
        }],
        Event::OrderConfirmed { reservation_id, backordered, .. } => {
            let (reservation_id, backordered) = (*reservation_id, units(details, backordered));
            vec![OrderFact::Confirmed { order, reservation_id, backordered }]
        }
        // Stock has published `inventory.allocated.v1`.
        Event::LinesAllocated { .. } => Vec::new(),
        Event::LinesCancelled { lines, reason, .. } => {
            vec![OrderFact::LinesCancelled { order, lines: units(details, lines), reason: *reason }]
        }
        Event::OrderCancelled { reason, was_confirmed, skus, .. } => vec![OrderFact::Cancelled {
            order,
            reason: *reason,
            was_confirmed: *was_confirmed,
            skus: skus.clone(),
        }],
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
        title: line.terms.as_ref().map(|said| said.title.clone()).unwrap_or_default(),
        total: (!is_plain).then_some(total),
    })
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
        Some(ReturnedUnits { line, sku: sku_of(details, line)?, quantity, disposition })
    };
    lines.iter().filter_map(unit).collect()
}

fn units(details: &Details, lines: &[LineQuantity]) -> Vec<LineUnits> {
    let unit = |line: u32, quantity: Quantity| {
        Some(LineUnits { line, sku: sku_of(details, line)?, quantity })
    };
    lines.iter().filter_map(|line| unit(line.line, line.quantity)).collect()
}

/// The product of a line. `evolve` has accepted the event, so the line exists.
fn sku_of(details: &Details, line: u32) -> Option<Sku> {
    details.lines.iter().find(|known| known.number == line).map(|known| known.sku.clone())
}
