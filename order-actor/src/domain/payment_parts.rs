//! Whose money it is: what of an order's amounts is for which seller. Every step is what a sum is
//! now less what it was before, so that any parcels, cancellations and returns add up to the whole.
//! Never here: whether money may move (`payment`).

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{CancelReason, PaymentId, Quantity, RefundId, Seller, SellerId};
use uuid::Uuid;

use super::payment::{Moved, Needs, RefundState, Saga};
use super::returns::sum_of;
use super::{
    Details, Event, Judgement, Line, LineQuantity, Order, Payment, PlanPart, PlanRefund,
    Restitution,
};

/// The seller as other services name them; none for the shop itself.
#[must_use]
pub fn seller_name(seller: Option<SellerId>) -> Option<Seller> {
    seller.and_then(|seller| seller.to_string().parse().ok())
}

impl Details {
    /// The sellers of its lines.
    pub(super) fn sellers(&self) -> BTreeSet<Option<SellerId>> {
        self.lines.iter().map(|line| line.seller_id).collect()
    }

    /// Whose the charges are: the only seller's, or else the shop's own.
    fn seller_of_charges(&self) -> Option<SellerId> {
        let sellers = self.sellers();
        let mut sellers = sellers.into_iter();
        match (sellers.next(), sellers.next()) {
            (Some(only), None) => only,
            _ => None,
        }
    }

    fn of_seller(&self, seller: Option<SellerId>, amount: impl Fn(&Line) -> i64) -> i64 {
        let lines = self.lines.iter().filter(|line| line.seller_id == seller);
        lines.fold(0, |sum, line| sum.saturating_add(amount(line)))
    }

    fn charges_of(&self, seller: Option<SellerId>) -> i64 {
        if seller != self.seller_of_charges() {
            return 0;
        }
        self.charges.iter().fold(0, |sum, one| sum.saturating_add(one.amount.total))
    }

    /// Whether the charges are among what is paid to this seller.
    pub(super) fn pays_charges(&self, seller: Option<SellerId>) -> bool {
        self.charges_of(seller) > 0
    }

    /// What is wanted for whom, as the order is now; none where nothing is to be paid.
    pub(super) fn payment_parts(&self) -> Vec<PlanPart> {
        let mut sellers = self.sellers();
        sellers.insert(self.seller_of_charges());
        let part = |seller| {
            let charges = self.charges_of(seller);
            let total = self.of_seller(seller, |line| line.amounts.ordered.total);
            let cancelled = self.of_seller(seller, |line| line.amounts.cancelled.total);
            let total = total.saturating_add(charges);
            let payment_id = PaymentId::of(self.order_id, seller_name(seller).as_ref());
            PlanPart {
                seller,
                payment_id,
                total,
                asked: total.saturating_sub(cancelled),
                cancelled,
                captured: 0,
                refunded: 0,
                returned: 0,
                taken: 0,
            }
        };
        sellers.into_iter().map(part).filter(|part| part.asked > 0).collect()
    }

    /// What the parcels so far are worth for a seller. Charges are due with the first of them.
    fn delivered_for(&self, seller: Option<SellerId>) -> i64 {
        let goods = self.of_seller(seller, |line| line.amounts.fulfilled.total);
        let shipped = self.lines.iter().any(|line| line.fulfilled > 0);
        if shipped { goods.saturating_add(self.charges_of(seller)) } else { goods }
    }
}

/// Counts what an event moves of the money of an order that has a plan.
pub(super) fn account(order: &mut Order, event: &Event) {
    let Some(details) = order.details_mut() else { return };
    let Some(mut payment) = details.payment.take() else { return };
    // A copy where the order of before is still there: that one keeps what its last event moved.
    let state = Arc::make_mut(&mut payment);
    state.moved = match event {
        // Only stock gives this reason: it never held the units, or has taken them back.
        Event::OrderCancelled { reason: CancelReason::InsufficientStock, .. } => {
            cancel(details, state, Some(false))
        }
        Event::OrderCancelled { was_confirmed, .. } => {
            cancel(details, state, Some(*was_confirmed || state.held.is_some()))
        }
        Event::LinesCancelled { .. } => cancel(details, state, None),
        Event::LinesFulfilled { .. } | Event::OrderFulfilled { .. } => ship(details, state),
        Event::ReturnApproved { return_id, .. } | Event::ReturnReceived { return_id, .. } => {
            pay_back(details, state, event, (*return_id).into())
        }
        Event::ShipmentUndone(undone) => {
            pay_back(details, state, event, RefundId::from_uuid(undone.shipment_id.uuid()))
        }
        Event::OrderConfirmed { .. } => {
            state.held = None;
            Moved::default()
        }
        _ => Moved::default(),
    };
    details.payment = Some(payment);
}

/// What a cancellation no longer wants; `whole` where nothing of the order is left: whether stock
/// holds units that it is to free.
fn cancel(details: &Details, payment: &mut Payment, whole: Option<bool>) -> Moved {
    if let Some(stock) = whole {
        let needs = Needs { stock, money: !payment.parts.is_empty() };
        if needs != Needs::default() {
            let version = details.events.saturating_add(1);
            payment.saga = Some(Saga { version, needs, done: Needs::default() });
        }
        payment.held = None;
    }
    let mut parts = Vec::new();
    for part in &mut payment.parts {
        let now = match whole {
            Some(_) => part.total,
            None => details.of_seller(part.seller, |line| line.amounts.cancelled.total),
        };
        let step = now.saturating_sub(part.cancelled);
        part.cancelled = now;
        // Units of a parcel that came back and were open again: what was taken for them goes back.
        part.captured = part.captured.min(part.wanted());
        push(&mut parts, part.payment_id, step);
    }
    if parts.is_empty() {
        return Moved::default();
    }
    // The number of the event makes it one of its own.
    let name = format!("cancellation/{}", details.events.saturating_add(1));
    let refund_id = Uuid::new_v5(&details.order_id.uuid(), name.as_bytes());
    let refund_id = RefundId::from_uuid(refund_id);
    let amount = sum(&parts);
    payment.refunds.push(PlanRefund { refund_id, amount, state: RefundState::Possible });
    Moved { refund_id: Some(refund_id), parts }
}

/// What a parcel is worth.
fn ship(details: &Details, payment: &mut Payment) -> Moved {
    let mut parts = Vec::new();
    for part in &mut payment.parts {
        let now = details.delivered_for(part.seller).min(part.wanted());
        // Units that are shipped again were taken before.
        let step = now.saturating_sub(part.captured).max(0);
        part.captured = part.captured.saturating_add(step);
        push(&mut parts, part.payment_id, step);
    }
    Moved { refund_id: None, parts }
}

/// What a refund gives back, and of whose money.
fn pay_back(details: &Details, payment: &mut Payment, event: &Event, refund_id: RefundId) -> Moved {
    let (refund, charges) = match event {
        Event::ReturnApproved { refund, charges, .. } => (*refund, sum_of(charges, *refund).minor),
        Event::ReturnReceived { refund, .. } => (*refund, charges_of_last(details, event)),
        Event::ShipmentUndone(undone) => {
            (undone.refund, sum_of(&undone.charges, undone.refund).minor)
        }
        _ => return Moved::default(),
    };
    let of_charges = details.seller_of_charges();
    let kept_units = kept_of_last(details, event);
    let (mut weights, mut kept) = (Vec::new(), Vec::new());
    for part in &mut payment.parts {
        let now = details.of_seller(part.seller, |line| line.amounts.returned.total);
        let goods = now.saturating_sub(part.returned).max(0);
        part.returned = now;
        let charges = if part.seller == of_charges { charges } else { 0 };
        weights.push(goods.saturating_add(charges));
        kept.push(worth_for(details, &kept_units, part.seller));
    }
    if refund.minor <= 0 || payment.parts.is_empty() {
        return Moved::default();
    }
    let most: Vec<i64> =
        payment.parts.iter().map(|part| part.captured.saturating_sub(part.refunded)).collect();
    let mut parts = Vec::new();
    let steps = shares(refund.minor, (&weights, &kept), &most);
    for (part, step) in payment.parts.iter_mut().zip(steps) {
        part.refunded = part.refunded.saturating_add(step);
        push(&mut parts, part.payment_id, step);
    }
    let (amount, state) = (sum(&parts), RefundState::Pending);
    if amount > 0 {
        payment.refunds.push(PlanRefund { refund_id, amount, state });
    }
    Moved { refund_id: None, parts }
}

/// A refund by the value of what came back; what is above that, by the value of what the customer
/// keeps of the return.
fn shares(refund: i64, (back, kept): (&[i64], &[i64]), most: &[i64]) -> Vec<i64> {
    let total = |parts: &[i64]| parts.iter().fold(0_i64, |sum, one| sum.saturating_add(*one));
    let worth = total(back);
    if refund <= worth || total(kept) == 0 {
        return allot(refund, back, most);
    }
    let mut parts = allot(worth, back, most);
    let left: Vec<i64> =
        most.iter().zip(&parts).map(|(most, part)| most.saturating_sub(*part)).collect();
    let more = allot(refund.saturating_sub(total(&parts)), kept, &left);
    for (part, more) in parts.iter_mut().zip(more) {
        *part = part.saturating_add(more);
    }
    parts
}

/// The units of a return that the customer keeps.
fn kept_of_last(details: &Details, event: &Event) -> Vec<LineQuantity> {
    let (Event::ReturnApproved { .. } | Event::ReturnReceived { .. }) = event else {
        return Vec::new();
    };
    let Some(judged) = details.judged.last() else { return Vec::new() };
    let Judgement::Approved { lines: back, .. } = &judged.judgement else { return Vec::new() };
    let kept = |units: &LineQuantity| {
        let of_line = back.iter().filter(|one| one.line == units.line);
        let left = |left: u32, one: &Restitution| left.saturating_sub(one.quantity.get());
        let quantity = Quantity::new(of_line.fold(units.quantity.get(), left)).ok()?;
        Some(LineQuantity { line: units.line, quantity })
    };
    judged.request.lines.iter().filter_map(kept).collect()
}

/// What delivered units cost, those of this seller.
fn worth_for(details: &Details, units: &[LineQuantity], seller: Option<SellerId>) -> i64 {
    units.iter().fold(0, |sum: i64, units| {
        let line = details.line(units.line).filter(|line| line.seller_id == seller);
        let cost = line.map_or(0, |line| line.delivered_amount(units.quantity.get()).total);
        sum.saturating_add(cost)
    })
}

/// What of the refund of a return was for charges, where its goods came later.
fn charges_of_last(details: &Details, event: &Event) -> i64 {
    let Event::ReturnReceived { refund, .. } = event else { return 0 };
    match details.judged.last().map(|judged| &judged.judgement) {
        Some(Judgement::Approved { charges, .. }) => sum_of(charges, *refund).minor,
        _ => 0,
    }
}

/// An amount by weights, rounded on the sums so far, and no part more than it may be. What does not
/// fit goes to the parts that have room, in their order; with room for all of it the parts add up
/// to the amount.
#[must_use]
pub fn allot(amount: i64, weights: &[i64], most: &[i64]) -> Vec<i64> {
    let total: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    let (weights, total) = if total == 0 {
        (most, most.iter().map(|most| i128::from((*most).max(0))).sum())
    } else {
        (weights, total)
    };
    let (mut before, mut given) = (0_i128, 0_i128);
    let mut parts = Vec::with_capacity(most.len());
    for (weight, most) in weights.iter().zip(most) {
        before += i128::from((*weight).max(0));
        let now = if total == 0 { 0 } else { i128::from(amount) * before / total };
        let part = i64::try_from(now - given).unwrap_or(i64::MAX);
        given = now;
        parts.push(part.min((*most).max(0)));
    }
    let mut left = parts.iter().fold(amount, |left, part| left.saturating_sub(*part));
    for (part, most) in parts.iter_mut().zip(most) {
        let more = left.min(most.saturating_sub(*part)).max(0);
        *part = part.saturating_add(more);
        left = left.saturating_sub(more);
    }
    parts
}

fn push(parts: &mut Vec<(PaymentId, i64)>, payment_id: PaymentId, step: i64) {
    if step > 0 {
        parts.push((payment_id, step));
    }
}

fn sum(parts: &[(PaymentId, i64)]) -> i64 {
    parts.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
}
