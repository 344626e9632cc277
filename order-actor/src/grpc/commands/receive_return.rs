use super::{CommandRequest, ParseContext};
use crate::domain::{Command, ReceiveReturn};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{ReceiveReturnRequest, ReceiveReturnResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for ReceiveReturnRequest {
    type Response = ReceiveReturnResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let return_id = form.optional_id("return_id", &self.return_id);
        let reference = form.return_reference(self.return_reference);
        let outcomes = form.outcomes(&self.outcomes);
        let rejected_reason = form.text("rejected_reason", self.rejected_reason);
        let location = form.location(&self.location);
        form.command(order_id, options, || {
            Some(Command::ReceiveReturn(ReceiveReturn {
                return_id,
                reference: reference?,
                outcomes: outcomes?,
                rejected_reason: rejected_reason?,
                location: location?,
            }))
        })
    }
}

impl From<CommandResponse> for ReceiveReturnResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
