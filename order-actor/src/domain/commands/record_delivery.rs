use serde::Serialize;
use shared_events::contract::Timestamp;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, leaves_room_to_end, not_over, same_or_exists};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, Order, ParcelName, ParcelState, Rejection, Role,
    ShipmentDelivered, bounds,
};

/// Record that a parcel was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordDelivery {
    /// The parcel.
    pub parcel: ParcelName,
    /// When it was delivered; now where absent.
    pub delivered_at: Option<Timestamp>,
}

impl Decide for RecordDelivery {
    fn kind(&self) -> CommandKind {
        CommandKind::RecordDelivery
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
        if let Some(known) = parcel.delivered_at {
            let other = self.delivered_at.is_some_and(|delivered_at| delivered_at != known);
            return same_or_exists(Existing::Delivery, &[("delivered_at", other)]);
        }
        not_over(order, context.now, "RecordDelivery")?;
        let is = parcel.state();
        if is != ParcelState::Shipped {
            return Err(Rejection::InvalidParcelState { is, call: "RecordDelivery" });
        }
        // A clock that was set back must not make it impossible.
        let delivered_at = self.delivered_at.unwrap_or(context.now.max(parcel.shipped_at));
        let invalid = |detail| Err(Rejection::InvalidField { at: "delivered_at", detail });
        if delivered_at < parcel.shipped_at {
            return invalid("not before it was shipped");
        }
        let latest = context.now.max(parcel.shipped_at).plus(bounds::DELIVERY_AHEAD_MAX);
        if delivered_at > latest {
            return invalid("not in the future");
        }
        leaves_room_to_end(details)?;
        // Until the last parcel is shipped there is no window whose end could move.
        let return_until = order.fulfilled().and_then(|fulfilled| {
            let until = delivered_at.plus(context.policy.return_within);
            (until > fulfilled.return_until).then_some(until)
        });
        Ok(vec![Event::ShipmentDelivered(ShipmentDelivered {
            shipment_id: parcel.shipment_id,
            delivered_at,
            return_until,
            at: context.now,
        })])
    }
}
