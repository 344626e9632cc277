use serde::Serialize;
use shared_events::contract::LossCause;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, leaves_room_to_end};
use crate::domain::{By, CommandKind, Details, Event, Order, PaymentLost, Role};

/// Secured money is gone. Nothing ships until it is secured anew; of an order that was delivered it is
/// noted.
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
        // Also of an order that was delivered: the money for its last parcel may be lacking.
        let wants = matches!(
            order,
            Order::Pending(_)
                | Order::Confirmed(_)
                | Order::Fulfilled(_)
                | Order::ReturnRequested(_)
        );
        let stands = details
            .payment
            .as_ref()
            .is_some_and(|payment| payment.secured.is_some() && payment.lost.is_none());
        if !wants || !stands {
            return NOTHING_HAPPENS;
        }
        leaves_room_to_end(details)?;
        let (cause, at) = (self.cause, context.now);
        Ok(vec![Event::PaymentLost(PaymentLost { cause, at })])
    }
}
