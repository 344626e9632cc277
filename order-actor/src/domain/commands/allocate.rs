use serde::Serialize;
use shared_events::contract::ReservationId;

use super::{Decide, DecisionContext};
use crate::domain::backorder::still_waiting;
use crate::domain::guards::{Decision, NOTHING_HAPPENS, invalid_transition, leaves_room_to_end};
use crate::domain::{By, CommandKind, Details, Event, LineQuantity, Order, Role};

/// Stock came for units that were backordered. Units that do not wait any more, because they were
/// cancelled meanwhile, are passed over: stock releases them when it reads that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allocate {
    /// The reservation of the stock.
    pub reservation_id: ReservationId,
    /// The units.
    pub lines: Vec<LineQuantity>,
}

impl Decide for Allocate {
    fn kind(&self) -> CommandKind {
        CommandKind::Allocate
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
        let lines = match order {
            Order::Confirmed(confirmed) if confirmed.reservation_id == self.reservation_id => {
                still_waiting(details, &self.lines)
            }
            Order::Pending(pending) => match pending.held_by(self.reservation_id) {
                Some(held) => held.still_waiting(&self.lines),
                None => return Err(invalid_transition(order, "Allocate")),
            },
            _ => return Err(invalid_transition(order, "Allocate")),
        };
        if lines.is_empty() {
            return NOTHING_HAPPENS;
        }
        leaves_room_to_end(details)?;
        Ok(vec![Event::LinesAllocated { lines, at: context.now }])
    }
}
