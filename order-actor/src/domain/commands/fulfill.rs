use serde::Serialize;
use shared_events::contract::ShipmentId;

use super::{Asked, Decide};
use crate::domain::guards::{
    Decision, Differs, all_open, carrier_fits, goes_on, invalid_transition, open_units, same_units,
    the_same_or, units,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Role, Shipment,
};

/// A parcel leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fulfill {
    /// The parcel's id; the same id again changes nothing.
    pub shipment_id: ShipmentId,
    /// Which units; empty for all that are open.
    pub lines: Vec<LineQuantity>,
    /// Who carries it, at most [`CARRIER_MAX`](crate::domain::bounds::CARRIER_MAX) characters.
    pub carrier: String,
    /// The carrier's tracking number, as long at most.
    pub tracking: String,
}

impl Decide for Fulfill {
    fn kind(&self) -> CommandKind {
        CommandKind::Fulfill
    }

    fn may(&self, by: &By) -> bool {
        matches!(by.role(), Role::Service | Role::Ops)
    }

    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision {
        if let Some(left) = details.shipment(self.shipment_id) {
            return the_same_or(Existing::Shipment, &self.other_than(left));
        }
        let Order::Confirmed(_) = order else {
            return Err(invalid_transition(order, "FulfillOrder"));
        };
        let lines = open_units(details, &self.lines)?;
        carrier_fits("carrier", &self.carrier)?;
        carrier_fits("tracking", &self.tracking)?;
        let (shipment_id, carrier, tracking) =
            (self.shipment_id, self.carrier.clone(), self.tracking.clone());
        let at = asked.now;
        let last = units(&lines) == units(&all_open(details));
        Ok(vec![if last {
            let return_until = at.plus(asked.policy.return_within);
            Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at }
        } else {
            goes_on(details)?;
            Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at }
        }])
    }
}

impl Fulfill {
    /// The fields in which a parcel is not what would leave.
    fn other_than(&self, left: &Shipment) -> [Differs; 3] {
        let Self { shipment_id: _, lines, carrier, tracking } = self;
        let same =
            if lines.is_empty() { left.took_the_rest } else { same_units(&left.lines, lines) };
        [
            ("lines", !same),
            ("carrier", left.carrier != *carrier),
            ("tracking", left.tracking != *tracking),
        ]
    }
}
