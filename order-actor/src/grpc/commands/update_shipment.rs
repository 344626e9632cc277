use super::{CommandRequest, ParseContext};
use crate::domain::{Command, UpdateShipment, bounds};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{UpdateShipmentRequest, UpdateShipmentResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for UpdateShipmentRequest {
    type Response = UpdateShipmentResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let parcel = form.parcel(&self.shipment_id, self.shipment_reference);
        if self.carrier.is_none() && self.tracking.is_none() {
            form.invalid("tracking", "required, unless carrier is given");
        }
        let mut line = |field, text: Option<String>| match text {
            None => Some(None),
            Some(text) => form.line(field, text, bounds::CARRIER_MAX).map(Some),
        };
        let (carrier, tracking) = (line("carrier", self.carrier), line("tracking", self.tracking));
        form.command(order_id, options, || {
            let (parcel, carrier, tracking) = (parcel?, carrier?, tracking?);
            Some(Command::UpdateShipment(UpdateShipment { parcel, carrier, tracking }))
        })
    }
}

impl From<CommandResponse> for UpdateShipmentResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
