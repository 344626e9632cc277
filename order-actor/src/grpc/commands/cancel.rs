use service_edge::one_of;
use shared_events::contract::CancelReason;

use super::{CommandRequest, ParseContext};
use crate::domain::{By, Cancel, Command, Role};
use crate::grpc::parse::{Form, Parsed, Units, Violations};
use crate::grpc::proto as wire;
use crate::grpc::proto::{CancelOrderRequest, CancelOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for CancelOrderRequest {
    type Response = CancelOrderResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let reason = reason(&mut form, self.reason, context.by);
        let lines = form.units(&self.lines, Units::Open);
        let text = form.text("text", self.text);
        form.command(order_id, options, || {
            let (reason, text, lines) = (reason?, text?, lines?);
            Some(Command::Cancel(Cancel { reason, text, lines, skus: Vec::new() }))
        })
    }
}

/// The reason given, or the default of the caller's role.
fn reason(form: &mut Form, reason: i32, by: &By) -> Option<CancelReason> {
    Some(match wire::CancelReason::try_from(reason) {
        Ok(wire::CancelReason::Unspecified) if by.role() == Role::Customer => {
            CancelReason::CustomerRequest
        }
        Ok(wire::CancelReason::Unspecified | wire::CancelReason::Ops) => CancelReason::Ops,
        Ok(wire::CancelReason::CustomerRequest) => CancelReason::CustomerRequest,
        Ok(wire::CancelReason::InsufficientStock) => CancelReason::InsufficientStock,
        Ok(wire::CancelReason::SlaTimeout) => CancelReason::SlaTimeout,
        Ok(wire::CancelReason::PaymentFailed) => CancelReason::PaymentFailed,
        Err(_) => {
            form.invalid("reason", one_of(wire::CancelReason::as_str_name));
            return None;
        }
    })
}

impl From<CommandResponse> for CancelOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
