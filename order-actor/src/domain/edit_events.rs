//! What the events of edits do to an order.
//! Never here: what an edit is and costs (`edit`).

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{Quantity, Sku};

use super::backorder::wait;
use super::edit::EditPrice;
use super::evolve::{Evolved, WRONG_STATE};
use super::{
    Confirmed, Details, Edit, EditState, EditedLines, LineQuantity, Order, OrderEditRefused,
    OrderEditRequested, OrderEdited, bounds, counts,
};

const BROKEN: &str = "amounts of the edit do not add up";

/// The order of an event about an edit: confirmed, with nothing shipped yet.
fn editable(order: &mut Order) -> Result<&mut Confirmed, &'static str> {
    match order {
        Order::Confirmed(confirmed) if confirmed.details.shipments.is_empty() => Ok(confirmed),
        _ => Err(WRONG_STATE),
    }
}

/// Checks lines against those of the order.
fn check(details: &Details, lines: &EditedLines) -> Result<EditPrice, &'static str> {
    let mut seen = BTreeSet::new();
    for change in &lines.changed {
        let line = details.line(change.line).ok_or("no such line")?;
        if !seen.insert(change.line) {
            return Err("a line is named twice");
        }
        if change.from != line.open() {
            return Err("not the open units of the line");
        }
        if change.to > Quantity::MAX {
            return Err("too many units");
        }
        if let Some(added) = change.added()
            && line.ordered.checked_add(added.get()).is_none_or(|units| units > Quantity::MAX)
        {
            return Err("too many units");
        }
    }
    let first = details.lines.len() + 1;
    let numbered = (first..).zip(&lines.added);
    if numbered.clone().any(|(number, new)| u32::try_from(number) != Ok(new.line)) {
        return Err("lines are not numbered on");
    }
    if details.lines.len() + lines.added.len() > bounds::LINES_MAX {
        return Err("too many lines");
    }
    if lines.is_nothing() || !lines.leaves_units(details) {
        return Err("nothing changes, or nothing would stay open");
    }
    details.price_of_edit(lines).map_err(|_| BROKEN)
}

/// The order with an edit that waits for stock.
pub(super) fn requested(mut order: Order, event: &OrderEditRequested) -> Evolved {
    let details = &mut editable(&mut order)?.details;
    if details.waiting_edit().is_some() || details.edit(event.edit_id).is_some() {
        return Err("another edit waits, or it was known before");
    }
    check(details, &event.lines)?;
    if event.lines.wanted().is_empty() {
        return Err("it needs nothing of stock");
    }
    details.edits.push(Arc::new(Edit {
        edit_id: event.edit_id,
        lines: event.lines.clone(),
        reason: event.reason.clone(),
        asked_at: event.at,
        answer_by: Some(event.answer_by),
        state: EditState::Waiting,
        skus: Vec::new(),
    }));
    Ok(order)
}

/// The order with the lines of an edit.
pub(super) fn edited(mut order: Order, event: &OrderEdited) -> Evolved {
    let details = &mut editable(&mut order)?.details;
    let price = check(details, &event.lines)?;
    if price.totals.total != event.total {
        return Err(BROKEN);
    }
    match details.waiting_edit() {
        Some(waits) if waits.edit_id == event.edit_id && waits.lines == event.lines => {
            end(details, EditState::Applied, &[])?;
        }
        None if event.lines.wanted().is_empty() && details.edit(event.edit_id).is_none() => {
            details.edits.push(Arc::new(Edit {
                edit_id: event.edit_id,
                lines: event.lines.clone(),
                reason: event.reason.clone(),
                asked_at: event.at,
                answer_by: None,
                state: EditState::Applied,
                skus: Vec::new(),
            }));
        }
        _ => return Err("not the edit that waits"),
    }
    let added = event.lines.wanted();
    apply(details, &event.lines, price)?;
    let is_added = |units: &LineQuantity| {
        added.iter().any(|one| one.line == units.line && units.quantity <= one.quantity)
    };
    if !event.backordered.iter().all(is_added) {
        return Err("more units than the edit adds");
    }
    wait(details, &event.backordered)?;
    Ok(order)
}

/// The order after an edit that came to nothing.
pub(super) fn ended(mut order: Order, event: &OrderEditRefused) -> Evolved {
    let details = &mut editable(&mut order)?.details;
    if details.waiting_edit().is_none_or(|waits| waits.edit_id != event.edit_id) {
        return Err("not the edit that waits");
    }
    end(details, event.cause.state(), &event.skus)?;
    Ok(order)
}

/// The order is cancelled: an edit that waits comes to nothing.
pub(super) fn void(details: &mut Details) -> Result<(), &'static str> {
    if details.waiting_edit().is_some() { end(details, EditState::Voided, &[]) } else { Ok(()) }
}

fn end(details: &mut Details, state: EditState, skus: &[Sku]) -> Result<(), &'static str> {
    let edit = Arc::make_mut(details.edits.last_mut().ok_or("no edit waits")?);
    edit.state = state;
    skus.clone_into(&mut edit.skus);
    Ok(())
}

fn apply(details: &mut Details, lines: &EditedLines, price: EditPrice) -> Result<(), &'static str> {
    let placed = || Arc::new(details.lines.clone());
    details.placed_lines = Some(details.placed_lines.take().unwrap_or_else(placed));
    let cancelled = lines.cancelled();
    if !cancelled.is_empty() {
        counts::cancel(details, &cancelled)?;
    }
    let raised = lines.changed.iter().filter(|change| change.added().is_some());
    for (change, amount) in raised.zip(price.raised) {
        let index = usize::try_from(change.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let line = details.lines.get_mut(index).ok_or("no such line")?;
        line.ordered += change.to - change.from;
        line.amounts.ordered = line.amounts.ordered.plus(amount);
        if !change.discounts.is_empty() || !change.taxes.is_empty() {
            let mut terms = line.terms.as_deref().cloned().unwrap_or_default();
            terms.add(&change.discounts, &change.taxes);
            line.terms = Some(Arc::new(terms));
        }
    }
    let added = lines.added.iter().zip(price.added);
    details.lines.extend(added.map(|(new, amount)| counts::new_line(new, amount)));
    details.totals = price.totals;
    Ok(())
}
