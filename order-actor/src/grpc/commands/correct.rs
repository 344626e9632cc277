use super::{CommandRequest, ParseContext};
use crate::domain::{Command, Correct};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{CorrectOrderRequest, CorrectOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for CorrectOrderRequest {
    type Response = CorrectOrderResponse;

    fn parse(mut self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let reason = form.reason("reason", std::mem::take(&mut self.reason));
        let corrections = form.corrections(self);
        form.command(order_id, options, || {
            let corrections = corrections?;
            Some(Command::Correct(Box::new(Correct {
                contact: corrections.contact,
                address: corrections.address,
                billing_address: corrections.billing_address,
                reason: reason?,
            })))
        })
    }
}

impl From<CommandResponse> for CorrectOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
