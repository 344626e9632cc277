use serde::Serialize;
use shared_events::contract::ReturnId;

use super::{Asked, Decide};
use crate::domain::guards::{
    Decision, Differs, NOTHING_HAPPENS, asked_again, invalid_transition, kept_units, reason_given,
    same_units, the_same_or,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Rejection, Role, bounds,
};

/// Units should come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestReturn {
    /// The id the return will have.
    pub return_id: ReturnId,
    /// Which units; at least one line.
    pub lines: Vec<LineQuantity>,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for RequestReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::RequestReturn
    }

    fn may(&self, by: &By) -> bool {
        matches!(by.role(), Role::Customer | Role::Ops)
    }

    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision {
        if let Some(said_before) = self.again(order, details) {
            return said_before;
        }
        let Order::Fulfilled(fulfilled) = order else {
            return Err(invalid_transition(order, "RequestReturn"));
        };
        if asked.now >= fulfilled.return_until {
            return Err(Rejection::ReturnWindowExpired);
        }
        reason_given(&self.reason)?;
        kept_units(details, &self.lines)?;
        asked_again(asked.by, "a return is asked for", details.customer_returns)?;
        // It, a reminder and the verdict.
        if details.events + 3 > bounds::EVENTS_MAX {
            return Err(Rejection::TooManyEvents);
        }
        Ok(vec![Event::ReturnRequested {
            return_id: self.return_id,
            lines: self.lines.clone(),
            reason: self.reason.clone(),
            judge_by: asked.now.plus(asked.policy.judge_within),
            asked_by: asked.by.role(),
            at: asked.now,
        }])
    }
}

impl RequestReturn {
    /// What is answered where the return was asked for before, or was judged since.
    fn again(&self, order: &Order, details: &Details) -> Option<Decision> {
        if let Order::ReturnRequested(waiting) = order
            && waiting.return_id == self.return_id
        {
            let other = self.other_than(&waiting.lines, &waiting.reason);
            return Some(the_same_or(Existing::Return, &other));
        }
        let judged = details.judged(self.return_id)?;
        let same = the_same_or(Existing::Return, &self.other_than(&judged.lines, &judged.reason));
        Some(same.and_then(|_| {
            if judged.is_approved() {
                NOTHING_HAPPENS
            } else {
                let (existing, differs) = (Existing::RejectedReturn, Vec::new());
                Err(Rejection::AlreadyExists { existing, differs })
            }
        }))
    }

    /// The fields in which a return is not what is asked for.
    fn other_than(&self, lines: &[LineQuantity], reason: &str) -> [Differs; 2] {
        [("lines", !same_units(lines, &self.lines)), ("reason", reason != self.reason)]
    }
}
