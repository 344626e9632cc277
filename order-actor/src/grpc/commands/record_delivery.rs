use super::{CommandRequest, ParseContext};
use crate::domain::{Command, RecordDelivery};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{RecordDeliveryRequest, RecordDeliveryResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for RecordDeliveryRequest {
    type Response = RecordDeliveryResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let parcel = form.parcel(&self.shipment_id, self.shipment_reference);
        let delivered_at = form.time("delivered_at", self.delivered_at);
        form.command(order_id, options, || {
            Some(Command::RecordDelivery(RecordDelivery { parcel: parcel?, delivered_at }))
        })
    }
}

impl From<CommandResponse> for RecordDeliveryResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
