use serde::Serialize;
use shared_events::contract::{CancelReason, Sku};

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, NOTHING_HAPPENS, all_open, invalid_transition, leaves_room_to_end, no_edit_waits,
    open_units, text_fits, units, within_customer_limit,
};
use crate::domain::{
    By, CommandKind, Confirmed, Details, Event, LineQuantity, Order, Rejection, Role, payment,
};

/// Cancel an order, or some of its open units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cancel {
    /// Why.
    pub reason: CancelReason,
    /// A comment, at most [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters; may be empty.
    pub text: String,
    /// The units; empty for all open units.
    pub lines: Vec<LineQuantity>,
    /// The skus that were missing, for [`CancelReason::InsufficientStock`].
    pub skus: Vec<Sku>,
}

impl Decide for Cancel {
    fn kind(&self) -> CommandKind {
        CommandKind::Cancel
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Customer | Role::Ops | Role::Engine)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let confirmed = match order {
            Order::Cancelled(_) => return NOTHING_HAPPENS,
            Order::Pending(_) => None,
            Order::Confirmed(confirmed) => Some(confirmed),
            _ => return Err(invalid_transition(order, "CancelOrder")),
        };
        let lines = open_units(details, &self.lines)?;
        self.check_reason(context.by)?;
        text_fits("text", &self.text)?;
        let everything = units(&lines) == units(&all_open(details));
        let delivered = confirmed.is_some_and(Confirmed::has_delivered);
        if everything && !delivered {
            return Ok(vec![self.cancel_order(confirmed.is_some(), context)]);
        }
        if !everything {
            no_edit_waits(details)?;
            within_customer_limit(context.by, "units are cancelled", details.customer_cancels)?;
            leaves_room_to_end(details)?;
        }
        let shipped_at = confirmed.and_then(|confirmed| confirmed.shipped_at);
        let return_until = if everything {
            let begins = shipped_at.map(|shipped_at| details.window_begins(shipped_at));
            begins.map(|begins| begins.plus(context.policy.return_within))
        } else {
            None
        };
        let (reason, text) = (self.reason, self.text.clone());
        let at = context.now;
        let event = Event::LinesCancelled { lines, reason, text, return_until, at };
        payment::confirmed_with(order, vec![event])
    }
}

impl Cancel {
    /// The event for an order of which nothing was delivered.
    fn cancel_order(&self, was_confirmed: bool, context: &DecisionContext<'_>) -> Event {
        let skus = match self.reason {
            CancelReason::InsufficientStock => self.skus.clone(),
            _ => Vec::new(),
        };
        let (reason, text) = (self.reason, self.text.clone());
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: context.now }
    }

    /// Checks that the caller's role may give this reason.
    fn check_reason(&self, by: &By) -> Result<(), Rejection> {
        let (role, reason) = (by.role(), self.reason);
        let allowed = match role {
            Role::Customer => reason == CancelReason::CustomerRequest,
            Role::Ops => matches!(reason, CancelReason::Ops | CancelReason::CustomerRequest),
            Role::Engine => {
                matches!(reason, CancelReason::InsufficientStock | CancelReason::PaymentFailed)
            }
            Role::Service => false,
        };
        if allowed { Ok(()) } else { Err(Rejection::ForbiddenReason { role, reason }) }
    }
}
