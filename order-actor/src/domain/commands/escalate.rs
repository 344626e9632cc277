use std::sync::Arc;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, Event, Order, Return, Role};

/// The time to judge returns may have passed. It has no content.
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

    /// Every return that is overdue: of those with one deadline, one reminder reports all.
    fn on_existing(&self, _: &Order, details: &Details, context: &DecisionContext<'_>) -> Decision {
        let overdue = details
            .waiting
            .iter()
            .filter(|one| !one.escalated && one.approval.is_none() && context.now >= one.judge_by);
        let reminder = |one: &Arc<Return>| Event::ReturnEscalated {
            return_id: one.return_id,
            at: context.now,
        };
        Ok(overdue.map(reminder).collect())
    }
}
