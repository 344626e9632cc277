use shared_events::contract::{OrderId, ShipmentId};

use super::ids::derived_or;
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
        let shipment_id = form.id_or("shipment_id", &self.shipment_id, || {
            let purpose = format!("shipment {order_id:?}");
            let drawn = || context.ids.uuid();
            ShipmentId::from_uuid(derived_or(options.request_id, &purpose, drawn))
        });
        let lines = form.units(&self.lines, Units::Open);
        let carrier = form.line("carrier", self.carrier, bounds::CARRIER_MAX);
        let tracking = form.line("tracking", self.tracking, bounds::CARRIER_MAX);
        form.command(order_id, options, || {
            let (shipment_id, lines) = (shipment_id?, lines?);
            let (carrier, tracking) = (carrier?, tracking?);
            Some(Command::Fulfill(Fulfill { shipment_id, lines, carrier, tracking }))
        })
    }
}

impl From<CommandResponse> for FulfillOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
