//! `OrderService`. One file per command takes its request apart and makes its response; what a
//! command means is the domain's (`domain/commands`).
//! Never here: how a command is carried out, which is the same for all (`grpc/orders`), or what reads
//! show (`grpc/reads`).

mod approve_return;
mod cancel;
mod fulfill;
mod ids; // who asks, and the ids of what nobody named
mod place;
mod reject_return;
mod request_return;

pub use ids::{Asking, Ids};

use tonic::{Request, Response, Status, Streaming};

use super::caller::Asked;
use super::parse::{Parsed, Violations};
use super::proto::execute_commands_request::Command;
use super::proto::order_service_server::OrderService;
use super::render::CommandResponse;
use super::tail::Messages;
use super::{OrdersEdge, execute, proto};

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

#[tonic::async_trait]
impl OrderService for OrdersEdge {
    async fn place_order(
        &self,
        request: Request<proto::PlaceOrderRequest>,
    ) -> Result<Response<proto::PlaceOrderResponse>, Status> {
        self.command(request).await
    }

    async fn cancel_order(
        &self,
        request: Request<proto::CancelOrderRequest>,
    ) -> Result<Response<proto::CancelOrderResponse>, Status> {
        self.command(request).await
    }

    async fn fulfill_order(
        &self,
        request: Request<proto::FulfillOrderRequest>,
    ) -> Result<Response<proto::FulfillOrderResponse>, Status> {
        self.command(request).await
    }

    async fn request_return(
        &self,
        request: Request<proto::RequestReturnRequest>,
    ) -> Result<Response<proto::RequestReturnResponse>, Status> {
        self.command(request).await
    }

    async fn approve_return(
        &self,
        request: Request<proto::ApproveReturnRequest>,
    ) -> Result<Response<proto::ApproveReturnResponse>, Status> {
        self.command(request).await
    }

    async fn reject_return(
        &self,
        request: Request<proto::RejectReturnRequest>,
    ) -> Result<Response<proto::RejectReturnResponse>, Status> {
        self.command(request).await
    }

    type ExecuteCommandsStream = Messages<proto::ExecuteCommandsResponse>;

    async fn execute_commands(
        &self,
        request: Request<Streaming<proto::ExecuteCommandsRequest>>,
    ) -> Result<Response<Self::ExecuteCommandsStream>, Status> {
        let asked = Asked::of(&request)?;
        Ok(Response::new(execute::answers(self.clone(), asked, request)))
    }

    async fn get_order(
        &self,
        request: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        self.show(request).await
    }

    async fn list_orders(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        self.list(request).await
    }

    type WatchOrdersStream = Messages<proto::WatchOrdersResponse>;

    async fn watch_orders(
        &self,
        request: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        self.watch(request).await
    }
}
