//! Counts the units of an order's lines as its events change them.
//! Never here: which state an order is in.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{Money, Quantity};

use super::{
    Amount, Details, Line, LineAmounts, LinePrice, LineQuantity, OrderCharge, OrderPrice,
    PlacedLine, PriceError, Shipment, Totals, bounds, price,
};

/// Lines and charges as they are at first, and the sums; `total` is theirs.
pub(super) fn placed(
    lines: &[PlacedLine],
    order: OrderPrice<'_>,
    total: Money,
) -> Result<(Vec<Line>, Vec<OrderCharge>, Totals), &'static str> {
    if lines.is_empty() || lines.len() > bounds::LINES_MAX {
        return Err("too few or too many lines");
    }
    let prices: Vec<LinePrice<'_>> = lines.iter().map(PlacedLine::price).collect();
    let priced = price(&prices, order).map_err(|error| match error {
        PriceError::CurrencyMismatch => "amounts of several currencies",
        PriceError::Overflow => "amounts do not fit",
        PriceError::Amount { detail, .. } => detail,
    })?;
    if priced.totals.total != total {
        return Err("the total is not the sum of lines, charges and taxes");
    }
    let mut made = Vec::with_capacity(lines.len());
    for ((number, line), ordered) in (1_u32..).zip(lines).zip(priced.lines) {
        if line.line != number {
            return Err("lines are not numbered from 1");
        }
        made.push(new_line(line, ordered));
    }
    let mut charges = Vec::with_capacity(order.charges.len());
    for ((number, charge), amount) in (1_u32..).zip(order.charges).zip(priced.charges) {
        if charge.number != number {
            return Err("charges are not numbered from 1");
        }
        charges.push(OrderCharge { charge: charge.clone(), amount, refunded: 0 });
    }
    Ok((made, charges, priced.totals))
}

/// A line of which nothing has happened yet, and what all its units cost.
pub(super) fn new_line(line: &PlacedLine, ordered: Amount) -> Line {
    Line {
        number: line.line,
        sku: line.sku.clone(),
        unit_price: line.unit_price,
        seller_id: line.seller_id,
        ordered: line.quantity.get(),
        cancelled: 0,
        fulfilled: 0,
        in_return: 0,
        approved: 0,
        returned: 0,
        backordered: 0,
        amounts: LineAmounts { ordered, ..LineAmounts::default() },
        terms: line.terms().map(Arc::new),
    }
}

/// Counts units as cancelled: of each line first those that wait for stock.
pub(super) fn cancel(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.amounts.cancelled = line.amounts.cancelled.plus(line.open_amount(units));
        line.cancelled += units;
        line.backordered = line.backordered.saturating_sub(units);
        Ok(())
    })
}

/// Records a shipped parcel and counts its units as fulfilled.
pub(super) fn fulfill(details: &mut Details, shipment: Shipment) -> Result<(), &'static str> {
    if details.shipment(shipment.shipment_id).is_some() {
        return Err("the parcel was shipped before");
    }
    if details.standing_holds().next().is_some() {
        return Err("the order is held");
    }
    if !details.may_ship() {
        return Err("the money does not stand");
    }
    if details.waiting_edit().is_some() {
        return Err("an edit waits for stock");
    }
    each(details, &shipment.lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        if units > line.allocated() {
            return Err("units that wait for stock");
        }
        line.amounts.fulfilled = line.amounts.fulfilled.plus(line.open_amount(units));
        line.fulfilled += units;
        Ok(())
    })?;
    details.shipments.push(Arc::new(shipment));
    Ok(())
}

/// Counts delivered units as given back: what the customer paid for them is refundable, not owed.
pub(super) fn give_back(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        if units > line.kept() {
            return Err("more units than the customer has");
        }
        line.amounts.returned = line.amounts.returned.plus(line.delivered_amount(units));
        line.returned += units;
        Ok(())
    })
}

/// Counts delivered units as open again: nobody has them, and they are still owed.
pub(super) fn open_again(
    details: &mut Details,
    lines: &[LineQuantity],
) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        if units > line.kept() {
            return Err("more units than the customer has");
        }
        line.amounts.fulfilled = line.amounts.fulfilled.minus(line.delivered_amount(units));
        line.fulfilled -= units;
        Ok(())
    })
}

/// Adds a refund to those of the order.
pub(super) fn pay_back(details: &mut Details, refund: Money) -> Result<(), &'static str> {
    let refunded = details.refunded.plus(refund).map_err(|_| "refunds do not add up")?;
    if refund.minor < 0 || refunded.minor > details.totals.total.minor {
        return Err("refunds exceed the total");
    }
    details.refunded = refunded;
    Ok(())
}

/// Changes each line named. It must be a line of the order and be named once.
pub(super) fn each(
    details: &mut Details,
    lines: &[LineQuantity],
    mut change: impl FnMut(&mut Line, u32) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    if lines.is_empty() {
        return Err("no lines");
    }
    let mut seen = BTreeSet::new();
    for LineQuantity { line: number, quantity } in lines {
        if !seen.insert(*number) {
            return Err("a line is named twice");
        }
        let line = index_of(*number)
            .and_then(|index| details.lines.get_mut(index))
            .ok_or("no such line")?;
        change(line, Quantity::get(*quantity))?;
    }
    Ok(())
}

fn index_of(number: u32) -> Option<usize> {
    number.checked_sub(1).and_then(|index| usize::try_from(index).ok())
}

/// Whether no unit is open.
pub(super) fn nothing_open(details: &Details) -> bool {
    details.lines.iter().all(|line| line.open() == 0)
}
