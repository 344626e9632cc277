use shared_events::contract::{OrderId, ReturnId};

use super::ids::{derived_from, derived_or};
use super::{CommandRequest, ParseContext};
use crate::domain::{Command, RequestReturn};
use crate::grpc::parse::{Form, Parsed, Units, Violations};
use crate::grpc::proto::{RequestReturnRequest, RequestReturnResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for RequestReturnRequest {
    type Response = RequestReturnResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id: Option<OrderId> = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let reference = form.return_reference(self.return_reference);
        let exchange_order_id = form.optional_id("exchange_order_id", &self.exchange_order_id);
        let return_id = form.id_or("return_id", &self.return_id, || {
            if let (Some(order_id), Some(reference)) =
                (order_id, reference.as_deref().filter(|it| !it.is_empty()))
            {
                let words = format!("return {order_id} reference {reference}");
                return ReturnId::from_uuid(derived_from(&words));
            }
            let purpose = format!("return {order_id:?}");
            let drawn = || context.ids.uuid();
            ReturnId::from_uuid(derived_or(options.request_id, &purpose, drawn))
        });
        let reason = form.reason("reason", self.reason);
        let lines = form.units(&self.lines, Units::Kept);
        form.command(order_id, options, || {
            Some(Command::RequestReturn(RequestReturn {
                return_id: return_id?,
                lines: lines?,
                reason: reason?,
                reference: reference?,
                exchange_order_id,
            }))
        })
    }
}

impl From<CommandResponse> for RequestReturnResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
