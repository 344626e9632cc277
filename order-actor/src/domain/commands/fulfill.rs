use serde::Serialize;
use shared_events::contract::ShipmentId;

use super::{Decide, DecisionContext};
use crate::domain::backorder::no_backordered;
use crate::domain::guards::{
    Decision, Differs, all_open, carrier_fits, invalid_transition, leaves_room_to_end, open_units,
    same_or_exists, same_units, units,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Role, Shipment,
};

/// Ship a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fulfill {
    /// The parcel's id; repeating it changes nothing.
    pub shipment_id: ShipmentId,
    /// Its units; empty for all open units.
    pub lines: Vec<LineQuantity>,
    /// The carrier, at most [`CARRIER_MAX`](crate::domain::bounds::CARRIER_MAX) characters.
    pub carrier: String,
    /// The carrier's tracking number, with the same limit.
    pub tracking: String,
}

impl Decide for Fulfill {
    fn kind(&self) -> CommandKind {
        CommandKind::Fulfill
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Service | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        if let Some(shipped) = details.shipment(self.shipment_id) {
            return same_or_exists(Existing::Shipment, &self.compare(shipped));
        }
        let Order::Confirmed(_) = order else {
            return Err(invalid_transition(order, "FulfillOrder"));
        };
        let lines = open_units(details, &self.lines)?;
        no_backordered(details, &lines)?;
        carrier_fits("carrier", &self.carrier)?;
        carrier_fits("tracking", &self.tracking)?;
        let (shipment_id, carrier, tracking) =
            (self.shipment_id, self.carrier.clone(), self.tracking.clone());
        let at = context.now;
        let last = units(&lines) == units(&all_open(details));
        Ok(vec![if last {
            let return_until = at.plus(context.policy.return_within);
            Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at }
        } else {
            leaves_room_to_end(details)?;
            Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at }
        }])
    }
}

impl Fulfill {
    /// Compares the fields of a shipped parcel with this command.
    fn compare(&self, shipped: &Shipment) -> [Differs; 3] {
        let Self { shipment_id: _, lines, carrier, tracking } = self;
        let same = if lines.is_empty() {
            shipped.took_all_open
        } else {
            same_units(&shipped.lines, lines)
        };
        [
            ("lines", !same),
            ("carrier", shipped.carrier != *carrier),
            ("tracking", shipped.tracking != *tracking),
        ]
    }
}
