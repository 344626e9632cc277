use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, Event, Order, Role};

/// The time to judge a return may have passed. It has no content.
pub(in crate::domain) struct Escalate;

impl Decide for Escalate {
    fn kind(&self) -> CommandKind {
        CommandKind::Escalate
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_absent(&self, _: &DecisionContext<'_>) -> Decision {
        NOTHING_HAPPENS
    }

    fn on_existing(&self, order: &Order, _: &Details, context: &DecisionContext<'_>) -> Decision {
        match order {
            Order::ReturnRequested(waiting)
                if !waiting.escalated && context.now >= waiting.judge_by =>
            {
                Ok(vec![Event::ReturnEscalated { return_id: waiting.return_id, at: context.now }])
            }
            _ => NOTHING_HAPPENS,
        }
    }
}
