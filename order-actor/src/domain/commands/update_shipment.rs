use serde::Serialize;

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, NOTHING_HAPPENS, carrier_fits, leaves_room_to_end, not_over,
};
use crate::domain::{
    By, CommandKind, Details, Event, Order, ParcelName, ParcelState, Rejection, Role,
    ShipmentCorrected,
};

/// Correct carrier or tracking number of a parcel that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpdateShipment {
    /// The parcel.
    pub parcel: ParcelName,
    /// The carrier, at most [`CARRIER_MAX`](crate::domain::bounds::CARRIER_MAX) characters; stays
    /// where absent.
    pub carrier: Option<String>,
    /// The carrier's tracking number, with the same limit; stays where absent.
    pub tracking: Option<String>,
}

impl Decide for UpdateShipment {
    fn kind(&self) -> CommandKind {
        CommandKind::UpdateShipment
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
        let parcel = self.parcel.find(details)?;
        let carrier = self.carrier.clone().unwrap_or_else(|| parcel.carrier().to_owned());
        let tracking = self.tracking.clone().unwrap_or_else(|| parcel.tracking().to_owned());
        if (carrier.as_str(), tracking.as_str()) == (parcel.carrier(), parcel.tracking()) {
            return NOTHING_HAPPENS;
        }
        not_over(order, context.now, "UpdateShipment")?;
        let is = parcel.state();
        if is != ParcelState::Shipped {
            return Err(Rejection::InvalidParcelState { is, call: "UpdateShipment" });
        }
        carrier_fits("carrier", &carrier)?;
        carrier_fits("tracking", &tracking)?;
        leaves_room_to_end(details)?;
        let (shipment_id, at) = (parcel.shipment_id, context.now);
        Ok(vec![Event::ShipmentCorrected(ShipmentCorrected { shipment_id, carrier, tracking, at })])
    }
}
