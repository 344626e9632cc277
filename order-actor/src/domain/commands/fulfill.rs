use serde::Serialize;
use shared_events::contract::{LocationName, ShipmentId};

use super::{Decide, DecisionContext};
use crate::domain::backorder::no_backordered;
use crate::domain::guards::{
    Decision, Differs, all_open, carrier_fits, invalid_transition, leaves_room_to_end,
    no_edit_waits, not_held, open_units, reference_fits, same_or_exists, same_units, units,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, LineQuantity, Order, Rejection, Role, Shipment,
    payment,
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
    /// The warehouse's own id of the parcel, at most
    /// [`REFERENCE_MAX`](crate::domain::bounds::REFERENCE_MAX) characters; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The location of stock that it leaves; that of the allocation where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationName>,
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
            return self.repeated(shipped);
        }
        let mut known = details.shipments.iter().map(|parcel| &parcel.reference);
        if !self.reference.is_empty() && known.any(|known| *known == self.reference) {
            return same_or_exists(Existing::Shipment, &[("shipment_id", true)]);
        }
        let Order::Confirmed(_) = order else {
            return Err(invalid_transition(order, "FulfillOrder"));
        };
        not_held(details)?;
        payment::money_ready(order, details)?;
        no_edit_waits(details)?;
        let lines = open_units(details, &self.lines)?;
        no_backordered(details, &lines)?;
        carrier_fits("carrier", &self.carrier)?;
        carrier_fits("tracking", &self.tracking)?;
        reference_fits("shipment_reference", &self.reference)?;
        let (carrier, tracking) = (self.carrier.clone(), self.tracking.clone());
        let (shipment_id, shipment_reference) = (self.shipment_id, self.reference.clone());
        let (location, at) = (self.location.clone(), context.now);
        let last = units(&lines) == units(&all_open(details));
        Ok(vec![if last {
            let return_until = details.window_begins(at).plus(context.policy.return_within);
            Event::OrderFulfilled {
                shipment_id,
                lines,
                carrier,
                tracking,
                shipment_reference,
                location,
                return_until,
                at,
            }
        } else {
            leaves_room_to_end(details)?;
            Event::LinesFulfilled {
                shipment_id,
                lines,
                carrier,
                tracking,
                shipment_reference,
                location,
                at,
            }
        }])
    }
}

impl Fulfill {
    /// The answer to the id of a parcel that was shipped. One that was undone ships nothing again.
    fn repeated(&self, shipped: &Shipment) -> Decision {
        let same = same_or_exists(Existing::Shipment, &self.compare(shipped))?;
        if shipped.undone.is_none() {
            return Ok(same);
        }
        let (existing, differs) = (Existing::UndoneParcel, Vec::new());
        Err(Rejection::AlreadyExists { existing, differs })
    }

    /// Compares the fields of a shipped parcel with this command.
    fn compare(&self, shipped: &Shipment) -> [Differs; 5] {
        let Self { shipment_id: _, lines, carrier, tracking, reference, location } = self;
        let same = if lines.is_empty() {
            shipped.took_all_open
        } else {
            same_units(&shipped.lines, lines)
        };
        [
            ("lines", !same),
            ("carrier", shipped.carrier != *carrier),
            ("tracking", shipped.tracking != *tracking),
            ("shipment_reference", shipped.reference != *reference),
            ("location", shipped.location != *location),
        ]
    }
}
