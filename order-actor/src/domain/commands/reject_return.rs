use serde::Serialize;
use shared_events::contract::ReturnId;

use super::{Asked, Decide};
use crate::domain::guards::{Decision, reason_given, the_same_or, waiting_return};
use crate::domain::{By, CommandKind, Details, Event, Existing, Judgement, Order, Role};

/// Leave the units of a return with the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectReturn {
    /// Which return; the one that waits, where absent.
    pub return_id: Option<ReturnId>,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for RejectReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::RejectReturn
    }

    fn may(&self, by: &By) -> bool {
        by.role() == Role::Ops
    }

    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision {
        if let Some(judged) = self.return_id.and_then(|named| details.judged(named)) {
            let other = match &judged.judgement {
                Judgement::Rejected { reason } => ("reason", *reason != self.reason),
                Judgement::Approved { .. } => ("verdict", true),
            };
            return the_same_or(Existing::Judgement, &[other]);
        }
        let waiting = waiting_return(order, self.return_id, "RejectReturn")?;
        reason_given(&self.reason)?;
        let (return_id, reason) = (waiting.return_id, self.reason.clone());
        Ok(vec![Event::ReturnRejected { return_id, reason, at: asked.now }])
    }
}
