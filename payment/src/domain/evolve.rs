use shared_events::contract::{OperationId, PaymentId, PaymentPart};

use super::{
    Case, Demand, Event, Goods, Operation, OperationKind, OperationState, Payment, RefundOfOrder,
    RefundTold,
};

/// An event that does not fit the case: the history is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("impossible event: {0}")]
pub struct Impossible(pub &'static str);

impl Case {
    /// The case after an event.
    ///
    /// # Errors
    /// [`Impossible`]
    pub fn evolve(mut self, event: &Event) -> Result<Self, Impossible> {
        self.version += 1;
        match event {
            Event::Requested { plan, parts } => {
                self.plan = Some(plan.clone());
                self.payments = parts.iter().map(requested).collect();
            }
            Event::Vanished { .. } => self.vanished = true,
            Event::Reappeared { plan, parts, uncounted } => self.reappear(plan, parts, *uncounted),
            Event::Attempted { attempt_id } => self.attempts.push(*attempt_id),
            Event::Unwanted { cause, parts, whole } => {
                self.causes.insert(*cause);
                if *whole {
                    self.cancelled = Some(*cause);
                }
                self.each(parts, |payment, minor| {
                    payment.unwanted = payment.unwanted.saturating_add(minor);
                })?;
            }
            Event::Due { cause, parts } => {
                self.causes.insert(*cause);
                self.each(parts, |payment, amount| {
                    payment.demands.push(Demand { cause: *cause, amount });
                })?;
            }
            Event::Delivered { .. } | Event::Earned { .. } => self.goods(event)?,
            Event::RefundDue { refund_id, parts, cancelled } => {
                let parts = parts.iter().map(|part| (part.payment_id, part.amount.minor));
                let (id, parts, not_taken) = (*refund_id, parts.collect(), Vec::new());
                let cancelled = *cancelled;
                let before = Vec::new();
                let refund = RefundOfOrder { id, parts, cancelled, not_taken, before, told: None };
                self.refunds.push(refund);
                self.paid_before(id);
            }
            Event::Unheard { what } => self.forget(what)?,
            Event::Opened { payment_id, operation } => {
                self.payment_mut(*payment_id)?.operations.push(operation.clone());
            }
            Event::GivenUp { payment_id, code, whole } => {
                self.failed |= *whole;
                self.payment_mut(*payment_id)?.failed.clone_from(code);
            }
            Event::Disputed { .. } | Event::DisputeClosed { .. } => self.dispute(event)?,
            Event::Secured { .. } => self.secured = true,
            Event::Lost { operation_id, .. } => {
                self.secured = false;
                self.lost.insert(*operation_id);
            }
            Event::Released => self.released = true,
            Event::RefundSettled { refund_id } | Event::RefundFailed { refund_id, .. } => {
                let settled = matches!(event, Event::RefundSettled { .. });
                let refund = self.refunds.iter_mut().find(|one| one.id == *refund_id);
                let refund = refund.ok_or(Impossible("no such refund"))?;
                refund.told = Some(if settled { RefundTold::Settled } else { RefundTold::Failed });
            }
            _ => self.observed(event)?,
        }
        self.count_back();
        Ok(self)
    }

    /// What became of an operation.
    fn observed(&mut self, event: &Event) -> Result<(), Impossible> {
        match event {
            Event::Waits { operation_id, reference, stuck } => {
                let operation = self.operation_mut(*operation_id)?;
                operation.state =
                    if stuck.is_some() { OperationState::Stuck } else { OperationState::Pending };
                operation.code = stuck.clone().unwrap_or_default();
                if reference.is_some() {
                    operation.reference.clone_from(reference);
                }
            }
            Event::Succeeded { operation_id, reference, amount, valid_until, released, .. } => {
                let of_earned = self.refund_goods(*operation_id, amount.minor)?;
                let operation = self.operation_mut(*operation_id)?;
                operation.of_earned = of_earned;
                operation.state = OperationState::Succeeded;
                operation.code = String::new();
                operation.reference = Some(reference.clone());
                if *amount != operation.amount {
                    operation.asked = Some(operation.amount);
                    operation.amount = *amount;
                }
                operation.valid_until = *valid_until;
                let (kind, of, minor) = (operation.kind, operation.of, amount.minor);
                let gives_back = if kind == OperationKind::Void { minor } else { 0 };
                let gives_back = gives_back.saturating_add(released.unwrap_or_default());
                if gives_back > 0 {
                    let of = of.ok_or(Impossible("nothing that is given back"))?;
                    let (payment, authorization) =
                        self.operation(of).ok_or(Impossible("no such operation"))?;
                    // Nothing is given back twice, whatever else ended it meanwhile.
                    let gives_back = gives_back.min(payment.left_of(authorization)).max(0);
                    let authorization = self.operation_mut(of)?;
                    authorization.released = authorization.released.saturating_add(gives_back);
                }
            }
            Event::Declined { operation_id, code } => {
                let operation = self.operation_mut(*operation_id)?;
                operation.state = OperationState::Declined;
                operation.code.clone_from(code);
                self.not_taken(*operation_id);
                self.not_paid_before(*operation_id);
            }
            Event::Reversed { operation_id, code, .. } => {
                self.not_paid_before(*operation_id);
                self.take_back_goods(*operation_id)?;
                let operation = self.operation_mut(*operation_id)?;
                operation.state = OperationState::Reversed;
                operation.code.clone_from(code);
            }
            Event::Expired { operation_id, .. } => {
                let (payment, operation) =
                    self.operation(*operation_id).ok_or(Impossible("no such operation"))?;
                let left = payment.left_of(operation);
                let operation = self.operation_mut(*operation_id)?;
                operation.released = operation.released.saturating_add(left);
                operation.expired = true;
            }
            _ => return Err(Impossible("not about an operation")),
        }
        Ok(())
    }

    /// Nothing was taken by a capture: refunds of what was cancelled that counted on it owe less,
    /// the newest first. Of a parcel that came back it may be taken once more.
    fn not_taken(&mut self, capture: OperationId) {
        let Some((payment, declined)) = self.operation(capture) else { return };
        if declined.kind != OperationKind::Capture {
            return;
        }
        let captures = payment.of_kind(OperationKind::Capture);
        let there = captures.map(|one| payment.refundable_of(one)).fold(0, i64::saturating_add);
        let there = there.saturating_add(payment.capture_pending());
        let waits = |one: &RefundOfOrder| match one.told {
            None => one.missing_of(payment).max(0),
            Some(_) => 0,
        };
        let missing: Vec<i64> = self.refunds.iter().map(waits).collect();
        let sum = missing.iter().copied().fold(0, i64::saturating_add);
        let mut over = sum.saturating_sub(there).min(declined.amount.minor);
        let is_over = self.cancelled.is_some();
        let owing = self.refunds.iter_mut().zip(missing).rev();
        for (refund, missing) in owing.filter(|(refund, _)| refund.cancelled || is_over) {
            let less = over.min(missing);
            if less > 0 {
                refund.not_taken.push((capture, less));
                over = over.saturating_sub(less);
            }
        }
    }

    pub(super) fn payment_mut(&mut self, id: PaymentId) -> Result<&mut Payment, Impossible> {
        self.payments.iter_mut().find(|one| one.id == id).ok_or(Impossible("no such payment"))
    }

    fn operation_mut(&mut self, id: OperationId) -> Result<&mut Operation, Impossible> {
        let all = self.payments.iter_mut().flat_map(|payment| payment.operations.iter_mut());
        let mut found = all.filter(|one| one.id == id);
        found.next().ok_or(Impossible("no such operation"))
    }

    pub(super) fn each(
        &mut self,
        parts: &[PaymentPart],
        mut change: impl FnMut(&mut Payment, i64),
    ) -> Result<(), Impossible> {
        for part in parts {
            change(self.payment_mut(part.payment_id)?, part.amount.minor);
        }
        Ok(())
    }
}

pub(super) fn requested(part: &shared_events::contract::RequestedPayment) -> Payment {
    Payment {
        id: part.payment_id,
        seller: part.seller.clone(),
        currency: part.amount.currency,
        requested: part.amount.minor,
        unwanted: 0,
        back: 0,
        fee_bps: part.fee_bps,
        demands: Vec::new(),
        operations: Vec::new(),
        earlier: 0,
        disputes: Vec::new(),
        goods: Goods::default(),
        failed: String::new(),
    }
}
