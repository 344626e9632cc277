use shared_events::contract::{OrderId, ShipmentId};

use super::ids::{derived_from, derived_or};
use super::{CommandRequest, ParseContext};
use crate::domain::{Command, Fulfill, bounds};
use crate::grpc::parse::{Form, Parsed, Units, Violations};
use crate::grpc::proto::{FulfillOrderRequest, FulfillOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for FulfillOrderRequest {
    type Response = FulfillOrderResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id: Option<OrderId> = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let reference = form.reference(self.shipment_reference);
        let shipment_id = form.id_or("shipment_id", &self.shipment_id, || {
            let drawn = || context.ids.uuid();
            ShipmentId::from_uuid(match reference.as_deref().unwrap_or_default() {
                "" => derived_or(options.request_id, &format!("shipment {order_id:?}"), drawn),
                named => derived_from(&format!("shipment {named} of {order_id:?}")),
            })
        });
        let lines = form.units(&self.lines, Units::Open);
        let carrier = form.line("carrier", self.carrier, bounds::CARRIER_MAX);
        let tracking = form.line("tracking", self.tracking, bounds::CARRIER_MAX);
        let location = form.location(&self.location);
        form.command(order_id, options, || {
            let (shipment_id, lines) = (shipment_id?, lines?);
            let (carrier, tracking) = (carrier?, tracking?);
            let (reference, location) = (reference?, location?);
            Some(Command::Fulfill(Fulfill {
                shipment_id,
                lines,
                carrier,
                tracking,
                reference,
                location,
            }))
        })
    }
}

impl From<CommandResponse> for FulfillOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
