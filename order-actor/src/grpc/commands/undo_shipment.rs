use service_edge::one_of;

use super::{CommandRequest, ParseContext};
use crate::domain::{Command, UndoCause, UndoShipment};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{self, UndoShipmentRequest, UndoShipmentResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for UndoShipmentRequest {
    type Response = UndoShipmentResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let parcel = form.parcel(&self.shipment_id, self.shipment_reference);
        let cause = match proto::UndoCause::try_from(self.cause) {
            Ok(proto::UndoCause::Lost) => Some(UndoCause::Lost),
            Ok(proto::UndoCause::ReturnedToSender) => Some(UndoCause::ReturnedToSender),
            Ok(proto::UndoCause::Unspecified) | Err(_) => {
                form.invalid("cause", one_of(proto::UndoCause::as_str_name));
                None
            }
        };
        let outcome = proto::UndoOutcome::try_from(self.outcome).ok();
        if outcome.is_none() {
            form.invalid("outcome", one_of(proto::UndoOutcome::as_str_name));
        }
        let dispositions = form.dispositions(&self.dispositions);
        let refund = match self.refund {
            None => Some(None),
            Some(refund) => form.refund(&refund).map(Some),
        };
        let charges = form.charge_refunds(&self.charges);
        let reason = form.reason("reason", self.reason);
        form.command(order_id, options, || {
            Some(Command::UndoShipment(UndoShipment {
                parcel: parcel?,
                cause: cause?,
                dispositions: dispositions?,
                refund: refund?,
                charges: charges?,
                reason: reason?,
                open_again: outcome? == proto::UndoOutcome::OpenAgain,
                found: outcome? == proto::UndoOutcome::Found,
            }))
        })
    }
}

impl From<CommandResponse> for UndoShipmentResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
