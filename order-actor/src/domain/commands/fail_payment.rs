use serde::Serialize;
use shared_events::contract::{CancelReason, PaymentId, PaymentPolicy, Quantity};

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, NOTHING_HAPPENS, all_open, invalid_transition, leaves_room_to_end, text_fits, units,
};
use crate::domain::payment::confirmed_with;
use crate::domain::{By, CommandKind, Details, Event, LineQuantity, Order, Payment, Role};

/// The money of an order is not to be had. The order is cancelled; where its plan says `PER_SELLER`
/// and one payment failed, the open units of that seller are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailPayment {
    /// The payment that failed; the whole order's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// Why, such as `insufficient_funds`; at most [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX)
    /// characters.
    pub code: String,
}

impl Decide for FailPayment {
    fn kind(&self) -> CommandKind {
        CommandKind::FailPayment
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let pending = match order {
            Order::Cancelled(_) => return NOTHING_HAPPENS,
            Order::Pending(pending) => pending,
            _ => return Err(invalid_transition(order, "FailPayment")),
        };
        // What stands stays: an earlier attempt of the customer may have failed.
        let payment = pending.details.payment.as_deref().filter(|_| !details.money_stands());
        let Some(payment) = payment else { return NOTHING_HAPPENS };
        text_fits("code", &self.code)?;
        let (reason, text, at) = (CancelReason::PaymentFailed, self.code.clone(), context.now);
        match self.lines_of_seller(details, payment) {
            Some(lines) if lines.is_empty() => NOTHING_HAPPENS,
            Some(lines) => {
                leaves_room_to_end(details)?;
                let return_until = None;
                let event = Event::LinesCancelled { lines, reason, text, return_until, at };
                confirmed_with(order, vec![event])
            }
            None => {
                let (was_confirmed, skus) = (false, Vec::new());
                Ok(vec![Event::OrderCancelled { reason, text, was_confirmed, skus, at }])
            }
        }
    }
}

impl FailPayment {
    /// The open units to be cancelled; none where the whole order is. Charges have no units, so that
    /// an order whose payment of them failed does not go on.
    fn lines_of_seller(&self, details: &Details, payment: &Payment) -> Option<Vec<LineQuantity>> {
        let failed = self.payment_id.filter(|_| payment.plan.policy == PaymentPolicy::PerSeller)?;
        let part = payment.parts.iter().find(|part| part.payment_id == failed)?;
        if details.pays_charges(part.seller) {
            return None;
        }
        let lines = details.lines.iter().filter(|line| line.seller_id == part.seller);
        let lines = lines.filter_map(|line| {
            Some(LineQuantity { line: line.number, quantity: Quantity::new(line.open()).ok()? })
        });
        let lines: Vec<LineQuantity> = lines.collect();
        (units(&lines) < units(&all_open(details))).then_some(lines)
    }
}
