use shared_events::contract::{EditId, OrderId};

use super::ids::derived_or;
use super::{CommandRequest, ParseContext};
use crate::domain::{Command, EditOrder};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{EditOrderRequest, EditOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for EditOrderRequest {
    type Response = EditOrderResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id: Option<OrderId> = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let edit_id = form.id_or("edit_id", &self.edit_id, || {
            let purpose = format!("edit of {order_id:?}");
            let drawn = || context.ids.uuid();
            EditId::from_uuid(derived_or(options.request_id, &purpose, drawn))
        });
        let changes = form.changes(&self.changes);
        let added = form.added_lines(&self.lines, !self.changes.is_empty());
        let expected = form.expected(self.expected.as_ref());
        let reason = form.reason("reason", self.reason);
        form.command(order_id, options, || {
            Some(Command::EditOrder(Box::new(EditOrder {
                edit_id: edit_id?,
                changes: changes?,
                added: added?,
                reason: reason?,
                expected: expected?,
            })))
        })
    }
}

impl From<CommandResponse> for EditOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
