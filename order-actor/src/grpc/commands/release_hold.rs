use shared_events::contract::HoldId;

use super::{CommandRequest, ParseContext};
use crate::domain::{Command, HoldName, ReleaseHold, bounds};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{ReleaseHoldRequest, ReleaseHoldResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for ReleaseHoldRequest {
    type Response = ReleaseHoldResponse;

    fn parse(self, _asking: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        if self.hold_id.is_empty() == self.name.trim().is_empty() {
            form.invalid("hold_id", "either this, a UUID, or name is given");
        }
        let hold_id: Option<HoldId> = form.optional_id("hold_id", &self.hold_id);
        let name = form.line("name", self.name.trim().to_owned(), bounds::HOLD_LABEL_MAX);
        let reason = form.reason("reason", self.reason);
        form.command(order_id, options, || {
            let hold = match hold_id {
                Some(id) => HoldName::Id(id),
                None => HoldName::Name(name?),
            };
            Some(Command::ReleaseHold(ReleaseHold { hold, reason: reason? }))
        })
    }
}

impl From<CommandResponse> for ReleaseHoldResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
