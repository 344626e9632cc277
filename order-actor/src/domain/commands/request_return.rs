use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{OrderId, ReturnId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, Differs, NOTHING_HAPPENS, invalid_transition, kept_units, leaves_room, reason_given,
    reference_fits, same_or_exists, same_units, within_customer_limit,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Rejection, Return,
    ReturnRequested, Role, bounds,
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
    /// The warehouse's own id of it, of at most
    /// [`REFERENCE_MAX`](crate::domain::bounds::REFERENCE_MAX) characters; may be empty. No two
    /// returns of an order have the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The order that replaces what is sent back. It is kept and shown, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_order_id: Option<OrderId>,
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
        if let Some(decision) = self.repeated(details) {
            return decision;
        }
        let return_until = match order {
            // Its end is known once the last parcel was shipped.
            Order::Confirmed(confirmed) if confirmed.has_delivered() => None,
            Order::Fulfilled(fulfilled) | Order::ReturnRequested(ReturnRequested { fulfilled }) => {
                Some(fulfilled.return_until)
            }
            _ => return Err(invalid_transition(order, "RequestReturn")),
        };
        if return_until.is_some_and(|until| context.now >= until) {
            return Err(Rejection::ReturnWindowExpired);
        }
        reason_given(&self.reason)?;
        kept_units(details, &self.lines)?;
        within_customer_limit(context.by, "a return is requested", details.customer_returns)?;
        leaves_room_for_returns(order, details)?;
        reference_fits("return_reference", &self.reference)?;
        Ok(vec![Event::ReturnRequested {
            return_id: self.return_id,
            lines: self.lines.clone(),
            reason: self.reason.clone(),
            reference: self.reference.clone(),
            exchange_order_id: self.exchange_order_id,
            judge_by: context.now.plus(context.policy.judge_within),
            asked_by: context.by.role(),
            at: context.now,
        }])
    }
}

impl RequestReturn {
    /// The answer if the return was requested before, and perhaps judged since.
    fn repeated(&self, details: &Details) -> Option<Decision> {
        if let Some(known) = self.known(details.waiting.iter()) {
            return Some(same_or_exists(Existing::Return, &self.compare(known)));
        }
        let judged = details.judged.iter();
        let known = self.known(judged.clone().map(|judged| &judged.request))?;
        let same = same_or_exists(Existing::Return, &self.compare(known));
        let is_approved =
            judged.filter(|one| one.return_id() == known.return_id).all(|one| one.is_approved());
        Some(same.and_then(|_| {
            if is_approved {
                NOTHING_HAPPENS
            } else {
                let (existing, differs) = (Existing::RejectedReturn, Vec::new());
                Err(Rejection::AlreadyExists { existing, differs })
            }
        }))
    }

    /// The return that has this id or this reference.
    fn known<'a>(&self, mut returns: impl Iterator<Item = &'a Arc<Return>>) -> Option<&'a Return> {
        let same = |known: &&Arc<Return>| {
            let referred = !self.reference.is_empty() && known.reference == self.reference;
            known.return_id == self.return_id || referred
        };
        returns.find(same).map(Arc::as_ref)
    }

    /// Compares an existing return with this command.
    fn compare(&self, known: &Return) -> [Differs; 5] {
        let Self { return_id, lines, reason, reference, exchange_order_id } = self;
        [
            ("return_id", known.return_id != *return_id),
            ("lines", !same_units(&known.lines, lines)),
            ("reason", known.reason != *reason),
            ("return_reference", known.reference != *reference),
            ("exchange_order_id", known.exchange_order_id != *exchange_order_id),
        ]
    }
}

/// Bounds the returns that wait at the same time, and leaves room for the events of all of them.
fn leaves_room_for_returns(order: &Order, details: &Details) -> Result<(), Rejection> {
    let max = bounds::RETURNS_WAITING_MAX;
    if details.waiting.len() >= max {
        return Err(Rejection::TooManyReturns { max });
    }
    // The request, a reminder, an approval, its end, and the answer about its refund.
    leaves_room(order, details, 4 + u64::from(details.payment.is_some()))
}
