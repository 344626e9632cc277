//! What the events of returns do to an order.
//! Never here: whether a command may cause them (`commands`).

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{Money, ReturnId};

use super::counts::{each, give_back, pay_back};
use super::evolve::{Evolved, WRONG_STATE};
use super::outcomes::{by_line, is_all_of};
use super::returns::sum_of;
use super::{
    Approval, ApprovedUnits, ChargeRefund, Details, Event, JudgedReturn, Judgement, Line,
    LineQuantity, Order, Return, bounds,
};

/// Applies one event of a return.
pub(super) fn apply(mut order: Order, event: &Event) -> Evolved {
    let delivers =
        matches!(order, Order::Confirmed(_) | Order::Fulfilled(_) | Order::ReturnRequested(_));
    let details = order.details_mut().filter(|_| delivers).ok_or(WRONG_STATE)?;
    match event {
        Event::ReturnRequested { .. } => requested(details, event)?,
        Event::ReturnEscalated { return_id, .. } => escalated(details, *return_id)?,
        Event::ReturnAuthorized { .. } => authorized(details, event)?,
        Event::ReturnReceived { .. } => received(details, event)?,
        Event::ReturnApproved { .. } => approved(details, event)?,
        Event::ReturnRejected { return_id, reason, .. } => rejected(details, *return_id, reason)?,
        _ => return Err(WRONG_STATE),
    }
    Ok(order.after_returns())
}

fn requested(details: &mut Details, event: &Event) -> Result<(), &'static str> {
    let Event::ReturnRequested {
        return_id,
        lines,
        reason,
        reference,
        exchange_order_id,
        judge_by,
        at,
        ..
    } = event
    else {
        return Err(WRONG_STATE);
    };
    if details.judged(*return_id).is_some() {
        return Err("the return was judged before");
    }
    if details.waiting_return(*return_id).is_some() {
        return Err("the return was requested before");
    }
    if details.waiting.len() >= bounds::RETURNS_WAITING_MAX {
        return Err("too many returns wait");
    }
    each(details, lines, |line, units| {
        if units > line.kept() {
            return Err("more units than the customer has");
        }
        line.in_return += units;
        Ok(())
    })?;
    details.waiting.push(Arc::new(Return {
        return_id: *return_id,
        reference: reference.clone(),
        lines: lines.clone(),
        reason: reason.clone(),
        exchange_order_id: *exchange_order_id,
        requested_at: *at,
        judge_by: *judge_by,
        escalated: false,
        approval: None,
    }));
    Ok(())
}

/// The waiting return with this id.
fn waiting(details: &mut Details, id: ReturnId) -> Result<&mut Arc<Return>, &'static str> {
    details.waiting.iter_mut().find(|one| one.return_id == id).ok_or(WRONG_STATE)
}

/// Takes the waiting return with this id out of those that wait.
fn taken(details: &mut Details, id: ReturnId) -> Result<Arc<Return>, &'static str> {
    let at = details.waiting.iter().position(|one| one.return_id == id).ok_or(WRONG_STATE)?;
    Ok(details.waiting.remove(at))
}

fn escalated(details: &mut Details, id: ReturnId) -> Result<(), &'static str> {
    let known = waiting(details, id)?;
    if known.escalated || known.approval.is_some() {
        return Err(WRONG_STATE);
    }
    Arc::make_mut(known).escalated = true;
    Ok(())
}

fn approved(details: &mut Details, event: &Event) -> Result<(), &'static str> {
    let Event::ReturnApproved {
        return_id,
        lines,
        kept,
        rejected_reason,
        refund,
        refund_reason,
        refund_told,
        charges,
        location,
        ..
    } = event
    else {
        return Err(WRONG_STATE);
    };
    if refund.minor > 0 && !refund_told {
        return Err("a refund without a published fact");
    }
    let known = Arc::clone(waiting(details, *return_id)?);
    if known.approval.is_some() {
        return Err("the return was approved before");
    }
    if !is_all_of(&known.lines, lines.iter().map(|one| (one.line, one.quantity)), kept) {
        return Err(OTHER_UNITS);
    }
    let back = by_line(lines);
    let default = details.default_refund(details.value_of(&back), sum_of(charges, *refund));
    pay_back(details, *refund)?;
    refund_charges(details, charges, *refund)?;
    each(details, &known.lines, end_return)?;
    if !back.is_empty() {
        give_back(details, &back)?;
    }
    let request = taken(details, *return_id)?;
    let judgement = Judgement::Approved {
        lines: lines.clone(),
        kept: kept.clone(),
        rejected_reason: rejected_reason.clone(),
        refund: *refund,
        refund_reason: refund_reason.clone(),
        charges: charges.clone(),
        location: location.clone(),
        default,
    };
    details.judged.push(Arc::new(JudgedReturn { request, judgement }));
    Ok(())
}

fn authorized(details: &mut Details, event: &Event) -> Result<(), &'static str> {
    let Event::ReturnAuthorized {
        return_id,
        lines,
        kept,
        rejected_reason,
        refund,
        refund_reason,
        charges,
        at,
    } = event
    else {
        return Err(WRONG_STATE);
    };
    let known = Arc::clone(waiting(details, *return_id)?);
    if known.approval.is_some() {
        return Err("the return was approved before");
    }
    if lines.is_empty()
        || !is_all_of(&known.lines, lines.iter().map(|one| (one.line, one.quantity)), kept)
    {
        return Err(OTHER_UNITS);
    }
    let default = details.default_refund(details.value_of(lines), sum_of(charges, *refund));
    if refund.minor < 0 || refund.minor > details.refundable().minor {
        return Err("refunds exceed what was delivered");
    }
    refund_charges(details, charges, *refund)?;
    each(details, &known.lines, end_return)?;
    let mut held = Vec::with_capacity(lines.len());
    each(details, lines, |line, units| {
        let amount = line.delivered_amount(units);
        line.in_return += units;
        line.approved += units;
        line.amounts.approved = line.amounts.approved.plus(amount);
        held.push(amount);
        Ok(())
    })?;
    let approved = |(units, amount): (&LineQuantity, _)| ApprovedUnits {
        line: units.line,
        quantity: units.quantity,
        amount,
    };
    Arc::make_mut(waiting(details, *return_id)?).approval = Some(Approval {
        lines: lines.iter().zip(held).map(approved).collect(),
        kept: kept.clone(),
        rejected_reason: rejected_reason.clone(),
        refund: *refund,
        refund_reason: refund_reason.clone(),
        charges: charges.clone(),
        default,
        at: *at,
    });
    Ok(())
}

fn received(details: &mut Details, event: &Event) -> Result<(), &'static str> {
    let Event::ReturnReceived { return_id, lines, kept, rejected_reason, refund, location, .. } =
        event
    else {
        return Err(WRONG_STATE);
    };
    let request = taken(details, *return_id)?;
    let approval = request.approval.as_ref().ok_or("the return was not approved")?;
    if !is_all_of(&approval.units(), lines.iter().map(|one| (one.line, one.quantity)), kept) {
        return Err(OTHER_UNITS);
    }
    pay_back(details, *refund)?;
    let back = by_line(lines);
    release(details, approval)?;
    each_of(details, &back, |line, units| {
        let held = approval.lines.iter().find(|one| one.line == line.number);
        let held = held.ok_or(OTHER_UNITS)?;
        let amount = held.amount.part(units, held.quantity.get());
        line.amounts.returned = line.amounts.returned.plus(amount);
        line.returned += units;
        Ok(())
    })?;
    let judgement = Judgement::Approved {
        lines: lines.clone(),
        kept: kept.clone(),
        rejected_reason: rejected_reason.clone(),
        refund: *refund,
        refund_reason: approval.refund_reason.clone(),
        charges: approval.charges.clone(),
        location: location.clone(),
        default: *refund,
    };
    details.judged.push(Arc::new(JudgedReturn { request, judgement }));
    Ok(())
}

fn rejected(details: &mut Details, id: ReturnId, why: &str) -> Result<(), &'static str> {
    let request = taken(details, id)?;
    match &request.approval {
        None => each(details, &request.lines, end_return)?,
        Some(approval) => {
            release(details, approval)?;
            for ChargeRefund { charge, amount } in &approval.charges {
                let known = details.charges.iter_mut().find(|one| one.charge.number == *charge);
                let known = known.ok_or("no such charge")?;
                known.refunded = known.refunded.saturating_sub(amount.minor);
            }
        }
    }
    let judgement = Judgement::Rejected { reason: why.to_owned() };
    details.judged.push(Arc::new(JudgedReturn { request, judgement }));
    Ok(())
}

const OTHER_UNITS: &str = "not the units that were requested";

/// Units are in the return no more.
fn end_return(line: &mut Line, units: u32) -> Result<(), &'static str> {
    line.in_return = line.in_return.checked_sub(units).ok_or(OTHER_UNITS)?;
    Ok(())
}

/// The approved units are in the return no more; neither is what they cost.
fn release(details: &mut Details, approval: &Approval) -> Result<(), &'static str> {
    for held in &approval.lines {
        let units = [LineQuantity { line: held.line, quantity: held.quantity }];
        each(details, &units, |line, units| {
            end_return(line, units)?;
            line.approved = line.approved.checked_sub(units).ok_or(OTHER_UNITS)?;
            line.amounts.approved = line.amounts.approved.minus(held.amount);
            Ok(())
        })?;
    }
    Ok(())
}

/// As [`each`], also for no lines.
fn each_of(
    details: &mut Details,
    lines: &[LineQuantity],
    change: impl FnMut(&mut Line, u32) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    if lines.is_empty() { Ok(()) } else { each(details, lines, change) }
}

/// What of a refund is for charges: each named once, and never more than it cost.
pub(super) fn refund_charges(
    details: &mut Details,
    refunds: &[ChargeRefund],
    refund: Money,
) -> Result<(), &'static str> {
    let mut left = refund;
    let mut named = BTreeSet::new();
    for ChargeRefund { charge, amount } in refunds {
        left = left.minus(*amount).map_err(|_| "refunds do not add up")?;
        let known = details.charges.iter_mut().find(|one| one.charge.number == *charge);
        let known = known.ok_or("no such charge")?;
        let refunded = known.refunded.saturating_add(amount.minor);
        if !named.insert(charge) || amount.minor < 0 || refunded > known.amount.total {
            return Err("more is refunded of a charge than it cost");
        }
        known.refunded = refunded;
    }
    if left.minor < 0 {
        return Err("the charges are more than the refund");
    }
    Ok(())
}
