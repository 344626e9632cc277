use serde::Serialize;
use shared_events::contract::ReservationId;

use super::{Asked, Decide};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, invalid_transition};
use crate::domain::{By, CommandKind, Details, Event, Order, Role};

/// All units of an order are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirm {
    /// The hold on the stock.
    pub reservation_id: ReservationId,
}

impl Decide for Confirm {
    fn kind(&self) -> CommandKind {
        CommandKind::Confirm
    }

    fn may(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn of(&self, order: &Order, _: &Details, asked: &Asked<'_>) -> Decision {
        match order {
            Order::Confirmed(confirmed) if confirmed.reservation_id == self.reservation_id => {
                NOTHING_HAPPENS
            }
            Order::Pending(_) => Ok(vec![Event::OrderConfirmed {
                reservation_id: self.reservation_id,
                at: asked.now,
            }]),
            _ => Err(invalid_transition(order, "Confirm")),
        }
    }
}
