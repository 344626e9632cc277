use serde::Serialize;
use shared_events::contract::ReturnId;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, reason_given, same_or_exists, waiting_return};
use crate::domain::{By, CommandKind, Details, Event, Existing, Judgement, Order, Role};

/// Leave the units of a return with the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectReturn {
    /// The return; the waiting one if absent.
    pub return_id: Option<ReturnId>,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for RejectReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::RejectReturn
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Ops
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        if let Some(judged) = self.return_id.and_then(|named| details.judged(named)) {
            let other = match &judged.judgement {
                Judgement::Rejected { reason } => ("reason", *reason != self.reason),
                Judgement::Approved { .. } => ("verdict", true),
            };
            return same_or_exists(Existing::Judgement, &[other]);
        }
        let waiting = waiting_return(order, self.return_id, "RejectReturn")?;
        reason_given(&self.reason)?;
        let (return_id, reason) = (waiting.return_id, self.reason.clone());
        Ok(vec![Event::ReturnRejected { return_id, reason, at: context.now }])
    }
}
