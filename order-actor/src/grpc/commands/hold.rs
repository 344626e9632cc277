use service_edge::one_of;
use shared_events::contract::{HoldId, OrderId};

use super::ids::derived_or;
use super::{CommandRequest, ParseContext};
use crate::domain::{Command, HoldKind, HoldOrder, bounds};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{self, HoldOrderRequest, HoldOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for HoldOrderRequest {
    type Response = HoldOrderResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id: Option<OrderId> = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let hold_id = form.id_or("hold_id", &self.hold_id, || {
            let purpose = format!("hold {order_id:?}");
            let drawn = || context.ids.uuid();
            HoldId::from_uuid(derived_or(options.request_id, &purpose, drawn))
        });
        let kind = match proto::HoldKind::try_from(self.kind) {
            Ok(proto::HoldKind::Fraud) => Some(HoldKind::Fraud),
            Ok(proto::HoldKind::Address) => Some(HoldKind::Address),
            Ok(proto::HoldKind::Custom) => Some(HoldKind::Custom),
            Ok(proto::HoldKind::Unspecified) | Err(_) => {
                form.invalid("kind", one_of(proto::HoldKind::as_str_name));
                None
            }
        };
        let label = self.label.trim().to_owned();
        if kind == Some(HoldKind::Custom) && label.is_empty() {
            form.invalid("label", format!("1 to {} characters", bounds::HOLD_LABEL_MAX));
        }
        let label = form.line("label", label, bounds::HOLD_LABEL_MAX);
        let reason = form.reason("reason", self.reason);
        form.command(order_id, options, || {
            let (hold_id, kind) = (hold_id?, kind?);
            let (label, reason) = (label?, reason?);
            Some(Command::HoldOrder(HoldOrder { hold_id, kind, label, reason }))
        })
    }
}

impl From<CommandResponse> for HoldOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
