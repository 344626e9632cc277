use serde::Serialize;
use shared_events::contract::{Money, Timestamp};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, invalid_transition, leaves_room_to_end};
use crate::domain::payment::confirmed_with;
use crate::domain::{
    By, CommandKind, Details, Event, Order, PaymentSecured, PlanPart, Rejection, Role, Secured,
};

/// The money of an order is reserved or taken. Where stock stands already, it confirms the order; of
/// one that was delivered it says that lost money stands again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurePayment {
    /// How much. At least what no parcel has been worth yet, or all that is wanted where the last has
    /// left; at most what was asked for, where units were cancelled that payments did not know of.
    pub amount: Money,
    /// Until when all of it stands.
    pub valid_until: Timestamp,
}

impl Decide for SecurePayment {
    fn kind(&self) -> CommandKind {
        CommandKind::SecurePayment
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
        let lost = details.payment.as_ref().is_some_and(|payment| payment.lost.is_some());
        let delivered = match order {
            Order::Pending(_) | Order::Confirmed(_) => false,
            // All its parcels have left: nothing is wanted but what was lost.
            Order::Fulfilled(_) | Order::ReturnRequested(_) if lost => true,
            _ => return Err(invalid_transition(order, "SecurePayment")),
        };
        let Some(payment) = &details.payment else {
            return Err(Rejection::PaymentMismatch { detail: "the order has no payment plan" });
        };
        let (amount, valid_until) = (self.amount, self.valid_until);
        if payment.lost.is_none() && payment.secured == Some(Secured { amount, valid_until }) {
            return NOTHING_HAPPENS;
        }
        let (least, asked) = if payment.parts.is_empty() {
            let parts = details.payment_parts();
            let asked =
                parts.iter().fold(0, |sum: i64, part: &PlanPart| sum.saturating_add(part.asked));
            (asked, asked)
        } else {
            (payment.least(delivered), payment.asked())
        };
        let fits = (least..=asked).contains(&amount.minor);
        if !fits || amount.currency != details.totals.total.currency {
            return Err(Rejection::PaymentMismatch {
                detail: "the money secured is not what the order asked for",
            });
        }
        leaves_room_to_end(details)?;
        let event = PaymentSecured { amount, valid_until, at: context.now };
        confirmed_with(order, vec![Event::PaymentSecured(event)])
    }
}
