use serde::Serialize;
use shared_events::contract::ReturnId;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, reason_given, same_or_exists};
use crate::domain::returns::Named;
use crate::domain::{By, CommandKind, Details, Event, Existing, Judgement, Order, Role};

/// Leave the units of a return with the customer, also of one that was approved and not received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectReturn {
    /// The return; the waiting one if neither id nor reference is given.
    pub return_id: Option<ReturnId>,
    /// Its reference; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
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
        let named = Named { id: self.return_id, reference: &self.reference };
        if let Some(judged) = named.judged(details) {
            let other = match &judged.judgement {
                Judgement::Rejected { reason } => ("reason", *reason != self.reason),
                Judgement::Approved { .. } => ("verdict", true),
            };
            return same_or_exists(Existing::Judgement, &[other]);
        }
        let waiting = named.waiting(order, details, "RejectReturn", |_| true)?;
        reason_given(&self.reason)?;
        let (return_id, reason) = (waiting.return_id, self.reason.clone());
        Ok(vec![Event::ReturnRejected { return_id, reason, at: context.now }])
    }
}
