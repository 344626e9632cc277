//! Counts the units of an order's lines as its events change them.
//! Never here: which state an order is in.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{Money, Quantity};

use super::{Details, Line, LineQuantity, PlacedLine, Shipment, bounds};

/// The lines of a new order; their values must add up to the total.
pub(super) fn placed_lines(placed: &[PlacedLine], total: Money) -> Result<Vec<Line>, &'static str> {
    if placed.is_empty() || placed.len() > bounds::LINES_MAX {
        return Err("too few or too many lines");
    }
    let mut sum = Money::zero(total.currency);
    let mut lines = Vec::with_capacity(placed.len());
    for (number, line) in (1_u32..).zip(placed) {
        if line.line != number {
            return Err("lines are not numbered from 1");
        }
        if line.unit_price.minor < 0 {
            return Err("a unit price is below zero");
        }
        let value = line.unit_price.times(line.quantity).map_err(|_| "amounts do not fit")?;
        sum = sum.plus(value).map_err(|_| "amounts do not add up")?;
        lines.push(Line {
            number,
            sku: line.sku.clone(),
            unit_price: line.unit_price,
            seller_id: line.seller_id,
            ordered: line.quantity.get(),
            cancelled: 0,
            fulfilled: 0,
            in_return: 0,
            returned: 0,
        });
    }
    if sum != total {
        return Err("the total is not the sum of the lines");
    }
    Ok(lines)
}

/// Counts units as cancelled.
pub(super) fn cancel(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.cancelled += units;
        Ok(())
    })
}

/// Records a shipped parcel and counts its units as fulfilled.
pub(super) fn fulfill(details: &mut Details, shipment: Shipment) -> Result<(), &'static str> {
    if details.shipment(shipment.shipment_id).is_some() {
        return Err("the parcel was shipped before");
    }
    each(details, &shipment.lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.fulfilled += units;
        Ok(())
    })?;
    details.shipments.push(Arc::new(shipment));
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
