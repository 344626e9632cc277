use serde::Serialize;
use shared_events::contract::LossCause;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, leaves_room_to_end};
use crate::domain::{By, CommandKind, Details, Event, Order, PaymentLost, Role};

/// Secured money is gone. Nothing ships until it is secured anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LosePayment {
    /// Why.
    pub cause: LossCause,
}

impl Decide for LosePayment {
    fn kind(&self) -> CommandKind {
        CommandKind::LosePayment
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
        let waits = matches!(order, Order::Pending(_) | Order::Confirmed(_));
        let stands = details
            .payment
            .as_ref()
            .is_some_and(|payment| payment.secured.is_some() && payment.lost.is_none());
        if !waits || !stands {
            return NOTHING_HAPPENS;
        }
        leaves_room_to_end(details)?;
        let (cause, at) = (self.cause, context.now);
        Ok(vec![Event::PaymentLost(PaymentLost { cause, at })])
    }
}
