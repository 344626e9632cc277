//! What the events about the money of an order say, and what they do to it.
//! Never here: how amounts are divided among sellers (`payment_parts`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    LossCause, Money, PaymentId, Quantity, RefundId, ReservationId, Timestamp,
};

use super::evolve::{Evolved, WRONG_STATE};
use super::payment::{Needs, RefundState, Secured};
use super::{Details, Event, LineQuantity, Order, Payment};

/// Stock holds all units, and the money is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockHeld {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// Units that wait for stock, of all units placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backordered: Vec<LineQuantity>,
    /// When it lapses unless the money is secured.
    pub pay_by: Timestamp,
    /// When.
    pub at: Timestamp,
}

impl StockHeld {
    /// Which of these units, that stock came for, still wait.
    pub(super) fn still_waiting(&self, allocated: &[LineQuantity]) -> Vec<LineQuantity> {
        let waits = |came: &LineQuantity| {
            let units = self.backordered.iter().find(|units| units.line == came.line)?;
            Some(LineQuantity { line: came.line, quantity: came.quantity.min(units.quantity) })
        };
        allocated.iter().filter_map(waits).collect()
    }
}

/// The money is reserved or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSecured {
    /// How much.
    pub amount: Money,
    /// Until when all of it stands.
    pub valid_until: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// Secured money is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentLost {
    /// Why.
    pub cause: LossCause,
    /// When.
    pub at: Timestamp,
}

/// Money was taken, for an order that ships only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// Of which payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// A refund was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSettled {
    /// The refund: the return, parcel or cancellation that caused it.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// A refund was not paid, or came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundFailed {
    /// The refund: the return, parcel or cancellation that caused it.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// Why, such as `account_closed`.
    pub code: String,
    /// When.
    pub at: Timestamp,
}

/// What a cancelled order held was given back: stock, money, or both. Two of these events may be
/// needed until all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationCompleted {
    /// Whether its stock is free again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stock: bool,
    /// Whether its money is back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub money: bool,
    /// When.
    pub at: Timestamp,
}

const NO_PLAN: &str = "the order has no payment plan";

/// The payment of an order, to be changed.
fn payment(order: &mut Order) -> Result<&mut Payment, &'static str> {
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    details.payment.as_mut().map(Arc::make_mut).ok_or(NO_PLAN)
}

/// Applies one event about money.
pub(super) fn apply(order: Order, event: &Event) -> Evolved {
    match event {
        Event::StockHeld(event) => held(order, event),
        Event::PaymentSecured(event) => secured(order, event),
        Event::PaymentLost(event) => lost(order, event),
        Event::PaymentCaptured(event) => captured(order, event),
        Event::RefundSettled(RefundSettled { refund_id, amount, .. }) => {
            refund(order, (*refund_id, *amount), RefundState::Settled(*amount))
        }
        Event::RefundFailed(RefundFailed { refund_id, amount, code, .. }) => {
            refund(order, (*refund_id, *amount), RefundState::Failed(code.clone()))
        }
        Event::CompensationCompleted(event) => compensated(order, event),
        _ => Err(WRONG_STATE),
    }
}

/// Stock stands, the money does not yet.
fn held(mut order: Order, event: &StockHeld) -> Evolved {
    let Order::Pending(pending) = &order else { return Err(WRONG_STATE) };
    let details = &pending.details;
    let known = |units: &LineQuantity| {
        details.line(units.line).is_some_and(|line| units.quantity.get() <= line.ordered)
    };
    if !event.backordered.iter().all(known) {
        return Err("more units wait for stock than were ordered");
    }
    if details.money_stands() {
        return Err("the money stands: stock confirms the order");
    }
    ask(&mut order)?;
    let payment = payment(&mut order)?;
    if payment.held.is_some() {
        return Err("stock is held already");
    }
    payment.held = Some(Arc::new(event.clone()));
    Ok(order)
}

/// Stock came for units of an order that waits for its money.
pub(super) fn allocated(mut order: Order, lines: &[LineQuantity]) -> Evolved {
    let payment = payment(&mut order).map_err(|_| WRONG_STATE)?;
    let held = Arc::make_mut(payment.held.as_mut().ok_or(WRONG_STATE)?);
    if lines.is_empty() || held.still_waiting(lines) != lines {
        return Err("more units than wait for stock");
    }
    let left = |units: &LineQuantity| {
        let came = lines.iter().find(|came| came.line == units.line);
        let came = came.map_or(0, |came| came.quantity.get());
        let quantity = Quantity::new(units.quantity.get().saturating_sub(came)).ok()?;
        Some(LineQuantity { line: units.line, quantity })
    };
    held.backordered = held.backordered.iter().filter_map(left).collect();
    Ok(order)
}

/// The money stands.
fn secured(mut order: Order, event: &PaymentSecured) -> Evolved {
    let delivered = match order {
        Order::Pending(_) | Order::Confirmed(_) => false,
        Order::Fulfilled(_) | Order::ReturnRequested(_) => true,
        _ => return Err(WRONG_STATE),
    };
    let currency = order.details().map(|details| details.totals.total.currency);
    if currency != Some(event.amount.currency) {
        return Err("the money has another currency");
    }
    ask(&mut order)?;
    let payment = payment(&mut order)?;
    if delivered && payment.lost.is_none() {
        return Err("no money was lost");
    }
    if event.amount.minor < payment.least(delivered) || event.amount.minor > payment.asked() {
        return Err("not the money that was asked for");
    }
    let (amount, valid_until) = (event.amount, event.valid_until);
    payment.secured = Some(Secured { amount, valid_until });
    payment.lost = None;
    Ok(order)
}

/// The money is gone.
fn lost(mut order: Order, event: &PaymentLost) -> Evolved {
    let (Order::Pending(_) | Order::Confirmed(_) | Order::Fulfilled(_) | Order::ReturnRequested(_)) =
        order
    else {
        return Err(WRONG_STATE);
    };
    let payment = payment(&mut order)?;
    if payment.secured.is_none() || payment.lost.is_some() {
        return Err("no money stood");
    }
    payment.lost = Some(event.cause);
    Ok(order)
}

/// Money was taken.
fn captured(mut order: Order, event: &PaymentCaptured) -> Evolved {
    let payment = payment(&mut order)?;
    let part = payment.parts.iter_mut().find(|part| part.payment_id == event.payment_id);
    let part = part.ok_or("no such payment")?;
    let taken = part.taken.saturating_add(event.amount.minor);
    if event.amount.minor <= 0 || taken > part.total {
        return Err("more was taken than was asked for");
    }
    part.taken = taken;
    Ok(order)
}

/// A refund came to something.
fn refund(mut order: Order, (refund_id, amount): (RefundId, Money), state: RefundState) -> Evolved {
    let payment = payment(&mut order)?;
    let known = payment.refunds.iter_mut().find(|refund| refund.refund_id == refund_id);
    let known = known.ok_or("no such refund")?;
    if amount.minor < 0 || amount.minor > known.amount {
        return Err("not the amount of the refund");
    }
    known.state = state;
    Ok(order)
}

/// A part of what a cancelled order held is back.
fn compensated(mut order: Order, event: &CompensationCompleted) -> Evolved {
    let Order::Cancelled(_) = order else { return Err(WRONG_STATE) };
    let payment = payment(&mut order)?;
    let saga = payment.saga.as_mut().ok_or("nothing was held")?;
    let now = Needs { stock: event.stock, money: event.money };
    let open = saga.open();
    let fits = (!now.stock || open.stock) && (!now.money || open.money);
    if !fits || now == Needs::default() {
        return Err("that was given back before, or was not held");
    }
    saga.done = Needs { stock: saga.done.stock || now.stock, money: saga.done.money || now.money };
    Ok(order)
}

/// From here on the order is known to want money.
fn ask(order: &mut Order) -> Result<(), &'static str> {
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    if details.payment.as_ref().ok_or(NO_PLAN)?.parts.is_empty() {
        let parts = details.payment_parts();
        if let Some(payment) = &mut details.payment {
            Arc::make_mut(payment).parts = parts;
        }
    }
    Ok(())
}

/// Whether an order may be confirmed by this reservation, as far as its money is concerned.
pub(super) fn may_confirm(
    details: &Details,
    reservation_id: ReservationId,
) -> Result<(), &'static str> {
    let Some(payment) = &details.payment else { return Ok(()) };
    if !details.money_stands() {
        return Err("the money does not stand");
    }
    match &payment.held {
        Some(held) if held.reservation_id != reservation_id => Err("stock holds it otherwise"),
        _ => Ok(()),
    }
}
