use serde::Serialize;
use shared_events::contract::ReservationId;

use super::{Decide, DecisionContext};
use crate::domain::backorder::still_backordered;
use crate::domain::guards::{Decision, NOTHING_HAPPENS, invalid_transition};
use crate::domain::{By, CommandKind, Details, Event, LineQuantity, Order, Role, StockHeld};

/// Stock holds all units of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirm {
    /// The reservation of the stock.
    pub reservation_id: ReservationId,
    /// Units of it that wait for stock, of all units placed. Left out where empty, so that commands
    /// of earlier versions are recognised when they are repeated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backordered: Vec<LineQuantity>,
}

impl Decide for Confirm {
    fn kind(&self) -> CommandKind {
        CommandKind::Confirm
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
        match order {
            Order::Confirmed(confirmed) if confirmed.reservation_id == self.reservation_id => {
                NOTHING_HAPPENS
            }
            Order::Pending(_) if !details.money_stands() => self.hold(order, details, context),
            Order::Pending(_) => Ok(vec![Event::OrderConfirmed {
                reservation_id: self.reservation_id,
                backordered: still_backordered(details, &self.backordered),
                at: context.now,
            }]),
            _ => Err(invalid_transition(order, "Confirm")),
        }
    }
}

impl Confirm {
    /// Stock stands, and the money is asked for.
    fn hold(&self, order: &Order, details: &Details, context: &DecisionContext<'_>) -> Decision {
        match details.payment.as_ref().and_then(|payment| payment.held.as_ref()) {
            Some(held) if held.reservation_id == self.reservation_id => NOTHING_HAPPENS,
            Some(_) => Err(invalid_transition(order, "Confirm")),
            None => Ok(vec![Event::StockHeld(StockHeld {
                reservation_id: self.reservation_id,
                backordered: self.backordered.clone(),
                pay_by: context.now.plus(context.policy.pay_within),
                at: context.now,
            })]),
        }
    }
}
