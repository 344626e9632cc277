//! Units of an order that wait for stock: promised, open, and not to be shipped yet. Stock decides
//! which they are; an order applies what stock says to what is open by then.
//! Never here: how stock shares units among orders.

use shared_events::contract::Quantity;

use super::counts::each;
use super::{Details, Line, LineQuantity, Rejection};

/// Counts open units as waiting for stock.
pub(super) fn backorder(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    if lines.is_empty() {
        return Ok(());
    }
    each(details, lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.backordered = units;
        Ok(())
    })
}

/// Counts open units as waiting for stock, beside those that wait already.
pub(super) fn wait(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    if lines.is_empty() {
        return Ok(());
    }
    each(details, lines, |line, units| {
        line.backordered = line.backordered.saturating_add(units);
        if line.backordered > line.open() {
            return Err("more units than are open");
        }
        Ok(())
    })
}

/// Counts units that waited as held by stock.
pub(super) fn allocate(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        line.backordered =
            line.backordered.checked_sub(units).ok_or("more units than wait for stock")?;
        Ok(())
    })
}

/// Which of the units that stock had to backorder still wait. Stock may not know yet what was
/// cancelled; of each line that takes the waiting units first, there as here.
pub(super) fn still_backordered(details: &Details, of_all: &[LineQuantity]) -> Vec<LineQuantity> {
    some_of(details, of_all, |line, units| units.saturating_sub(line.cancelled))
}

/// Which of the units that stock came for still wait here.
pub(super) fn still_waiting(details: &Details, allocated: &[LineQuantity]) -> Vec<LineQuantity> {
    some_of(details, allocated, |line, units| units.min(line.backordered))
}

fn some_of(
    details: &Details,
    lines: &[LineQuantity],
    units: impl Fn(&Line, u32) -> u32,
) -> Vec<LineQuantity> {
    let some = |named: &LineQuantity| {
        let line = details.line(named.line)?;
        let quantity = Quantity::new(units(line, named.quantity.get()).min(line.open())).ok()?;
        Some(LineQuantity { line: named.line, quantity })
    };
    lines.iter().filter_map(some).collect()
}

/// Refuses to ship units that wait for stock.
pub(super) fn no_backordered(details: &Details, lines: &[LineQuantity]) -> Result<(), Rejection> {
    let waits = |named: &&LineQuantity| {
        details.line(named.line).is_some_and(|line| named.quantity.get() > line.allocated())
    };
    let lines: Vec<u32> = lines.iter().filter(waits).map(|named| named.line).collect();
    if lines.is_empty() { Ok(()) } else { Err(Rejection::Backordered { lines }) }
}
