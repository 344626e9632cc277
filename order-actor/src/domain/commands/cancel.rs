use serde::Serialize;
use shared_events::contract::{CancelReason, Sku};

use super::{Asked, Decide};
use crate::domain::guards::{
    Decision, NOTHING_HAPPENS, all_open, asked_again, goes_on, invalid_transition, open_units,
    text_fits, units,
};
use crate::domain::{
    By, CommandKind, Confirmed, Details, Event, LineQuantity, Order, Rejection, Role,
};

/// Do not deliver an order, or some of its open units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cancel {
    /// Why.
    pub reason: CancelReason,
    /// Further words, at most [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters; may be empty.
    pub text: String,
    /// Which units; empty for all that are open.
    pub lines: Vec<LineQuantity>,
    /// The skus that were missing, for [`CancelReason::InsufficientStock`].
    pub skus: Vec<Sku>,
}

impl Decide for Cancel {
    fn kind(&self) -> CommandKind {
        CommandKind::Cancel
    }

    fn may(&self, by: &By) -> bool {
        matches!(by.role(), Role::Customer | Role::Ops | Role::Engine)
    }

    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision {
        let confirmed = match order {
            Order::Cancelled(_) => return NOTHING_HAPPENS,
            Order::Pending(_) => None,
            Order::Confirmed(confirmed) => Some(confirmed),
            _ => return Err(invalid_transition(order, "CancelOrder")),
        };
        let lines = open_units(details, &self.lines)?;
        self.reason_may(asked.by)?;
        text_fits("text", &self.text)?;
        let everything = units(&lines) == units(&all_open(details));
        let delivered = confirmed.is_some_and(Confirmed::has_delivered);
        if everything && !delivered {
            return Ok(vec![self.of_all(confirmed.is_some(), asked)]);
        }
        if !everything {
            asked_again(asked.by, "units are cancelled", details.customer_cancels)?;
            goes_on(details)?;
        }
        let shipped_at = confirmed.and_then(|confirmed| confirmed.shipped_at);
        let return_until = if everything {
            shipped_at.map(|shipped_at| shipped_at.plus(asked.policy.return_within))
        } else {
            None
        };
        let (reason, text) = (self.reason, self.text.clone());
        Ok(vec![Event::LinesCancelled { lines, reason, text, return_until, at: asked.now }])
    }
}

impl Cancel {
    /// Nothing was delivered and nothing will be.
    fn of_all(&self, was_confirmed: bool, asked: &Asked<'_>) -> Event {
        let skus = match self.reason {
            CancelReason::InsufficientStock => self.skus.clone(),
            _ => Vec::new(),
        };
        let (reason, text) = (self.reason, self.text.clone());
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: asked.now }
    }

    /// Each role has its own reasons.
    fn reason_may(&self, by: &By) -> Result<(), Rejection> {
        let (role, reason) = (by.role(), self.reason);
        let may = match role {
            Role::Customer => reason == CancelReason::CustomerRequest,
            Role::Ops => matches!(reason, CancelReason::Ops | CancelReason::CustomerRequest),
            Role::Engine => {
                matches!(reason, CancelReason::InsufficientStock | CancelReason::PaymentFailed)
            }
            Role::Service => false,
        };
        if may { Ok(()) } else { Err(Rejection::ForbiddenReason { role, reason }) }
    }
}
