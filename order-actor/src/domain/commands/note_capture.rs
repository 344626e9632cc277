use serde::Serialize;
use shared_events::contract::{Money, PaymentId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, leaves_room};
use crate::domain::{
    By, CommandKind, Details, Event, Order, PaymentCaptured, PlanPart, Rejection, Role, ShipWhen,
};

/// Money was taken. Only an order that ships when it is notes that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoteCapture {
    /// Of which payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
}

impl Decide for NoteCapture {
    fn kind(&self) -> CommandKind {
        CommandKind::NoteCapture
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let payment = details.payment.as_ref();
        let Some(payment) = payment.filter(|it| it.plan.ship_when == ShipWhen::Captured) else {
            return NOTHING_HAPPENS;
        };
        let part = payment.parts.iter().find(|part| part.payment_id == self.payment_id);
        let most = part.map_or(0, |part| part.total.saturating_sub(part.taken));
        let (payment_id, amount, at) = (self.payment_id, self.amount, context.now);
        if !(1..=most).contains(&amount.minor) || amount.currency != details.totals.total.currency {
            let detail = "the money taken is not what the order asked for";
            return Err(Rejection::PaymentMismatch { detail });
        }
        // One that takes all that is wanted has its room; there may be any number of others.
        let takes_all = |part: &PlanPart| {
            !part.is_taken() && part.taken.saturating_add(amount.minor) >= part.wanted()
        };
        if !part.is_some_and(takes_all) {
            leaves_room(order, details, 1)?;
        }
        Ok(vec![Event::PaymentCaptured(PaymentCaptured { payment_id, amount, at })])
    }
}
