use super::{CommandRequest, ParseContext};
use crate::domain::{ApproveReturn, Command};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{ApproveReturnRequest, ApproveReturnResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for ApproveReturnRequest {
    type Response = ApproveReturnResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let return_id = form.optional_id("return_id", &self.return_id);
        let reference = form.return_reference(self.return_reference);
        let outcomes = form.outcomes(&self.outcomes);
        let rejected_reason = form.text("rejected_reason", self.rejected_reason);
        let dispositions = form.dispositions(&self.dispositions);
        let refund = match self.refund {
            None => Some(None),
            Some(refund) => form.refund(&refund).map(Some),
        };
        let charges = form.charge_refunds(&self.charges);
        let refund_reason = form.text("refund_reason", self.refund_reason);
        let location = form.location(&self.location);
        if self.receive_later && !self.location.is_empty() {
            form.invalid("location", "not with receive_later: name it when the units are received");
        }
        if self.receive_later && self.receive_at_once {
            form.invalid("receive_at_once", "not with receive_later");
        }
        form.command(order_id, options, || {
            Some(Command::ApproveReturn(ApproveReturn {
                return_id,
                reference: reference?,
                dispositions: dispositions?,
                outcomes: outcomes?,
                rejected_reason: rejected_reason?,
                receive_later: self.receive_later,
                receive_at_once: self.receive_at_once,
                refund: refund?,
                refund_reason: refund_reason?,
                charges: charges?,
                location: location?,
            }))
        })
    }
}

impl From<CommandResponse> for ApproveReturnResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
