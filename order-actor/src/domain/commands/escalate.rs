use super::{Asked, Decide};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, Event, Order, Role};

/// Nobody may have judged a return in time. It has nothing to say besides.
pub(in crate::domain) struct Escalate;

impl Decide for Escalate {
    fn kind(&self) -> CommandKind {
        CommandKind::Escalate
    }

    fn may(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn of_none(&self, _: &Asked<'_>) -> Decision {
        NOTHING_HAPPENS
    }

    fn of(&self, order: &Order, _: &Details, asked: &Asked<'_>) -> Decision {
        match order {
            Order::ReturnRequested(waiting)
                if !waiting.escalated && asked.now >= waiting.judge_by =>
            {
                Ok(vec![Event::ReturnEscalated { return_id: waiting.return_id, at: asked.now }])
            }
            _ => NOTHING_HAPPENS,
        }
    }
}
