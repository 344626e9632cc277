//! Commands as they come and as they are answered: one file per command takes its request apart and
//! makes its response. What a command means is the domain's (`domain/commands`).
//! Never here: how a command is carried out; that is the same for all (`grpc/orders`).

mod approve_return;
mod cancel;
mod fulfill;
mod ids; // who asks, and the ids of what nobody named
mod place;
mod reject_return;
mod request_return;

pub use ids::{Asking, Ids};

use super::parse::{Parsed, Violations};
use super::proto::execute_commands_request::Command;
use super::render::CommandResponse;

/// A request that says a command.
pub trait CommandRequest {
    /// The message that answers it. On the wire all of them are the same; each has its own name,
    /// because clients are generated from it.
    type Response: From<CommandResponse>;

    /// Takes the request apart.
    ///
    /// # Errors
    /// Every field at fault.
    fn parse(self, asking: &Asking<'_>) -> Result<Parsed, Violations>;
}

/// Takes a command of a stream apart.
pub(super) fn parse(command: Option<Command>, asking: &Asking<'_>) -> Result<Parsed, Violations> {
    match command {
        Some(Command::PlaceOrder(request)) => request.parse(asking),
        Some(Command::CancelOrder(request)) => request.parse(asking),
        Some(Command::FulfillOrder(request)) => request.parse(asking),
        Some(Command::RequestReturn(request)) => request.parse(asking),
        Some(Command::ApproveReturn(request)) => request.parse(asking),
        Some(Command::RejectReturn(request)) => request.parse(asking),
        None => Err(Violations::one(
            "command",
            Violations::INVALID_FIELD,
            "one of the commands is required",
        )),
    }
}
