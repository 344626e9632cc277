use serde::Serialize;
use shared_events::contract::ReturnId;

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, Differs, NOTHING_HAPPENS, invalid_transition, kept_units, reason_given,
    same_or_exists, same_units, within_customer_limit,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Rejection, Role, bounds,
};

/// Ask to return units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestReturn {
    /// The id the return will have.
    pub return_id: ReturnId,
    /// The units; at least one line.
    pub lines: Vec<LineQuantity>,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for RequestReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::RequestReturn
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Customer | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        if let Some(decision) = self.repeated(order, details) {
            return decision;
        }
        let Order::Fulfilled(fulfilled) = order else {
            return Err(invalid_transition(order, "RequestReturn"));
        };
        if context.now >= fulfilled.return_until {
            return Err(Rejection::ReturnWindowExpired);
        }
        reason_given(&self.reason)?;
        kept_units(details, &self.lines)?;
        within_customer_limit(context.by, "a return is requested", details.customer_returns)?;
        // The request, a reminder and the judgement.
        if details.events + 3 > bounds::EVENTS_MAX {
            return Err(Rejection::TooManyEvents);
        }
        Ok(vec![Event::ReturnRequested {
            return_id: self.return_id,
            lines: self.lines.clone(),
            reason: self.reason.clone(),
            judge_by: context.now.plus(context.policy.judge_within),
            asked_by: context.by.role(),
            at: context.now,
        }])
    }
}

impl RequestReturn {
    /// The answer if the return was requested before, and perhaps judged since.
    fn repeated(&self, order: &Order, details: &Details) -> Option<Decision> {
        if let Order::ReturnRequested(waiting) = order
            && waiting.return_id == self.return_id
        {
            let other = self.compare(&waiting.lines, &waiting.reason);
            return Some(same_or_exists(Existing::Return, &other));
        }
        let judged = details.judged(self.return_id)?;
        let same = same_or_exists(Existing::Return, &self.compare(&judged.lines, &judged.reason));
        Some(same.and_then(|_| {
            if judged.is_approved() {
                NOTHING_HAPPENS
            } else {
                let (existing, differs) = (Existing::RejectedReturn, Vec::new());
                Err(Rejection::AlreadyExists { existing, differs })
            }
        }))
    }

    /// Compares an existing return with this command.
    fn compare(&self, lines: &[LineQuantity], reason: &str) -> [Differs; 2] {
        [("lines", !same_units(lines, &self.lines)), ("reason", reason != self.reason)]
    }
}
