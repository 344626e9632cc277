use super::{CommandRequest, ParseContext};
use crate::domain::{Command, RejectReturn};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{RejectReturnRequest, RejectReturnResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for RejectReturnRequest {
    type Response = RejectReturnResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let return_id = form.optional_id("return_id", &self.return_id);
        let reference = form.return_reference(self.return_reference);
        let reason = form.reason("reason", self.reason);
        form.command(order_id, options, || {
            let (reference, reason) = (reference?, reason?);
            Some(Command::RejectReturn(RejectReturn { return_id, reference, reason }))
        })
    }
}

impl From<CommandResponse> for RejectReturnResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
