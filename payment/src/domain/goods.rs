//! Money that is taken before its goods leave (`ON_CONFIRM`): it is held for the customer, and is
//! earned parcel by parcel.

use serde::{Deserialize, Serialize};
use shared_events::contract::{CapturePolicy, OperationId, PaymentPart, Timestamp};
use uuid::Uuid;

use super::{Case, Event, Impossible, OperationKind, Payment, fee};

const NO_OPERATION: Impossible = Impossible("no such operation");

/// How much of a payment is of goods that left, in minor units. All of it is 0 where money is taken
/// with the goods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goods {
    /// What the parcels were worth that left.
    pub delivered: i64,
    /// What was earned by them, in all. It never falls.
    pub earned: i64,
    /// What of it was paid back.
    pub returned: i64,
    /// What of it the provider took back.
    pub lost: i64,
    /// The last parcel.
    pub parcel: Option<Uuid>,
}

impl Goods {
    /// Whether nothing left.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Earned, and neither paid back nor taken back.
    #[must_use]
    pub const fn net(&self) -> i64 {
        self.earned.saturating_sub(self.returned).saturating_sub(self.lost)
    }
}

impl Payment {
    /// Taken, not paid back, and not earned yet.
    #[must_use]
    pub fn held(&self) -> i64 {
        let taken = self.captured().saturating_sub(self.refunded());
        taken.saturating_sub(self.goods.net())
    }

    /// The shop's fee so far: of what is taken and not paid back, or, where money is taken first, of
    /// what is earned.
    #[must_use]
    pub fn fee_so_far(&self, capture: CapturePolicy) -> i64 {
        let of = match capture {
            CapturePolicy::OnFulfil => self.captured().saturating_sub(self.refunded()),
            CapturePolicy::OnConfirm => self.goods.net(),
        };
        fee(of, self.fee_bps)
    }
}

impl Case {
    /// Whether money is taken before its goods leave.
    pub(crate) fn takes_first(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.capture == CapturePolicy::OnConfirm)
    }

    /// What a parcel means that left: its money is to be taken, or was taken before.
    pub(super) fn left(&self, cause: Uuid, parts: Vec<PaymentPart>) -> Option<Event> {
        self.plan.as_ref().filter(|_| !parts.is_empty() && !self.causes.contains(&cause))?;
        Some(if self.takes_first() {
            Event::Delivered { cause, parts }
        } else {
            Event::Due { cause, parts }
        })
    }

    /// Goods left, or their money is earned.
    pub(super) fn goods(&mut self, event: &Event) -> Result<(), Impossible> {
        match event {
            Event::Delivered { cause, parts } => {
                self.causes.insert(*cause);
                self.each(parts, |payment, minor| {
                    payment.goods.delivered = payment.goods.delivered.saturating_add(minor);
                    payment.goods.parcel = Some(*cause);
                })
            }
            Event::Earned { payment_id, amount, .. } => {
                let goods = &mut self.payment_mut(*payment_id)?.goods;
                goods.earned = goods.earned.saturating_add(amount.minor);
                Ok(())
            }
            _ => Err(Impossible("not about goods")),
        }
    }

    /// A refund of so much is done: notes and returns how much of it is of goods that left. What
    /// was cancelled had not left; what came back had.
    pub(super) fn refund_goods(
        &mut self,
        refund: OperationId,
        minor: i64,
    ) -> Result<i64, Impossible> {
        let takes_first = self.takes_first();
        let (payment, operation) = self.operation(refund).ok_or(NO_OPERATION)?;
        if !takes_first || operation.kind != OperationKind::Refund {
            return Ok(0);
        }
        let asked = self.refunds.iter().find(|one| Some(one.id) == operation.refund_id);
        // Of an order that vanished nothing came back.
        let unsaid = self.is_for_a_person() && asked.is_none();
        // One that the journal lost is of what it was of.
        let lost = || operation.unasked.is_some_and(|one| one.wanted);
        let of_earned = if unsaid || asked.map_or_else(lost, |one| one.cancelled) {
            minor.saturating_sub(payment.held())
        } else {
            minor.min(payment.goods.net())
        };
        let (of_earned, id) = (of_earned.clamp(0, minor.max(0)), payment.id);
        let goods = &mut self.payment_mut(id)?.goods;
        goods.returned = goods.returned.saturating_add(of_earned);
        Ok(of_earned)
    }

    /// The provider takes an operation back. Of a capture what was held goes first; of a refund
    /// what was paid back of goods that left is earned again.
    pub(super) fn take_back_goods(&mut self, id: OperationId) -> Result<(), Impossible> {
        let takes_first = self.takes_first();
        let (payment, operation) = self.operation(id).ok_or(NO_OPERATION)?;
        let lost = if takes_first && operation.kind == OperationKind::Capture {
            let minor = operation.amount.minor.max(0);
            minor.saturating_sub(payment.held().max(0)).clamp(0, minor)
        } else {
            0
        };
        let (id, of_earned) = (payment.id, operation.of_earned);
        let goods = &mut self.payment_mut(id)?.goods;
        goods.lost = goods.lost.saturating_add(lost);
        goods.returned = goods.returned.saturating_sub(of_earned);
        Ok(())
    }

    /// What parcels that left have earned, and nobody was told yet.
    pub(super) fn earn(&self, at: Timestamp) -> Option<Event> {
        if !self.takes_first() {
            return None;
        }
        self.payments.iter().find_map(|payment| {
            let goods = &payment.goods;
            let waits = goods.delivered.saturating_sub(goods.earned).saturating_add(goods.lost);
            let minor = waits.min(payment.held());
            let of = payment.of_kind(OperationKind::Capture).find(|one| one.stands())?;
            let cause = goods.parcel.filter(|_| minor > 0)?;
            let (payment_id, operation_id, amount) = (payment.id, of.id, payment.money(minor));
            Some(Event::Earned { payment_id, operation_id, cause, amount, at })
        })
    }
}
