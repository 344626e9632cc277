use serde::Serialize;
use shared_events::contract::{LocationName, Money, ReturnId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, same_or_exists, text_fits};
use crate::domain::outcomes::Split;
use crate::domain::returns::Named;
use crate::domain::{
    Approval, By, CommandKind, Details, Event, Existing, JudgedReturn, Judgement, Order,
    OutcomeUnits, Rejection, Role,
};

/// Receive the goods of an approved return: stock takes them back, and its refund is requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiveReturn {
    /// The return; the only approved one if neither id nor reference is given.
    pub return_id: Option<ReturnId>,
    /// Its reference; may be empty.
    pub reference: String,
    /// What becomes of units of lines. A line that is named has all its approved units named; lines
    /// that are not named are restocked.
    pub outcomes: Vec<OutcomeUnits>,
    /// Why units are rejected; at most [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub rejected_reason: String,
    /// The location of stock where units are restocked; `main` where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationName>,
}

impl Decide for ReceiveReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::ReceiveReturn
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Ops || matches!(by, By::ReturnsDesk(_))
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let named = Named { id: self.return_id, reference: &self.reference };
        if let Some(judged) = named.judged(details) {
            return self.repeated(judged);
        }
        let waiting = named.waiting(order, details, "ReceiveReturn", |one| one.approval.is_some());
        let waiting = match waiting {
            // None is named, and none of those that wait is approved.
            Err(Rejection::ReturnMismatch)
                if self.return_id.is_none() && self.reference.is_empty() =>
            {
                return Err(Rejection::ReturnNotApproved);
            }
            waiting => waiting?,
        };
        let approval = waiting.approval.as_ref().ok_or(Rejection::ReturnNotApproved)?;
        text_fits("rejected_reason", &self.rejected_reason)?;
        let split = self.split(approval)?;
        let refund = refund_for(details, approval, &split);
        Ok(vec![Event::ReturnReceived {
            return_id: waiting.return_id,
            lines: split.back,
            kept: split.kept,
            rejected_reason: self.rejected_reason.clone(),
            refund,
            location: self.location.clone(),
            at: context.now,
        }])
    }
}

impl ReceiveReturn {
    fn split(&self, approval: &Approval) -> Result<Split, Rejection> {
        Split::received(&approval.units(), &self.outcomes, &self.rejected_reason)
    }

    /// The answer if the return was received or judged before.
    fn repeated(&self, judged: &JudgedReturn) -> Decision {
        let (Judgement::Approved { lines, kept, rejected_reason, location, .. }, Some(approval)) =
            (&judged.judgement, &judged.request.approval)
        else {
            return same_or_exists(Existing::Judgement, &[("verdict", true)]);
        };
        let split = self.split(approval)?;
        let other = [
            ("outcomes", split.back != *lines || split.kept != *kept),
            ("rejected_reason", self.rejected_reason != *rejected_reason),
            ("location", self.location != *location),
        ];
        same_or_exists(Existing::Receipt, &other)
    }
}

/// The approved refund without the value of units that did not come back.
fn refund_for(details: &Details, approval: &Approval, split: &Split) -> Money {
    let refund = approval.refund_for(&split.back_by_line());
    // What was approved is set aside: this never lowers it, but for orders changed since.
    let most = details.refundable().minor.saturating_add(approval.refund.minor);
    Money { minor: refund.minor.min(most), ..refund }
}
