//! `OrderService`. One file per command parses its request and makes its response; the rules of a
//! command are in `domain/commands`.
//! Never here: how a command is executed, which is the same for all (`grpc/orders`), or the reads
//! (`grpc/reads`).

mod add_note;
mod approve_return;
mod cancel;
mod correct;
mod edit;
mod fulfill;
mod hold;
mod ids; // the caller, and ids that a request leaves open
mod place;
mod receive_return;
mod record_delivery;
mod reject_return;
mod release_hold;
mod request_return;
mod undo_shipment;
mod update_shipment;

pub use ids::{Ids, ParseContext};

use tonic::{Request, Response, Status, Streaming};

use super::caller::CallContext;
use super::parse::{Parsed, Violations};
use super::proto::execute_commands_request::Command;
use super::proto::order_service_server::OrderService;
use super::render::CommandResponse;
use super::tail::Messages;
use super::{OrdersEdge, execute, proto};

/// A request that is a command.
pub trait CommandRequest {
    /// The response message. All have the same fields; each has its own name for generated clients.
    type Response: From<CommandResponse>;

    /// Parses the request.
    ///
    /// # Errors
    /// Every invalid field.
    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations>;
}

/// Parses a command of a stream.
pub(super) fn parse(
    command: Option<Command>,
    context: &ParseContext<'_>,
) -> Result<Parsed, Violations> {
    match command {
        Some(Command::PlaceOrder(request)) => request.parse(context),
        Some(Command::CancelOrder(request)) => request.parse(context),
        Some(Command::FulfillOrder(request)) => request.parse(context),
        Some(Command::RequestReturn(request)) => request.parse(context),
        Some(Command::ApproveReturn(request)) => request.parse(context),
        Some(Command::RejectReturn(request)) => request.parse(context),
        Some(Command::ReceiveReturn(request)) => request.parse(context),
        Some(Command::HoldOrder(request)) => request.parse(context),
        Some(Command::ReleaseHold(request)) => request.parse(context),
        Some(Command::CorrectOrder(request)) => request.parse(context),
        Some(Command::UpdateShipment(request)) => request.parse(context),
        Some(Command::RecordDelivery(request)) => request.parse(context),
        Some(Command::UndoShipment(request)) => request.parse(context),
        Some(Command::AddNote(request)) => request.parse(context),
        Some(Command::EditOrder(request)) => request.parse(context),
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

    async fn receive_return(
        &self,
        request: Request<proto::ReceiveReturnRequest>,
    ) -> Result<Response<proto::ReceiveReturnResponse>, Status> {
        self.command(request).await
    }

    async fn hold_order(
        &self,
        request: Request<proto::HoldOrderRequest>,
    ) -> Result<Response<proto::HoldOrderResponse>, Status> {
        self.command(request).await
    }

    async fn release_hold(
        &self,
        request: Request<proto::ReleaseHoldRequest>,
    ) -> Result<Response<proto::ReleaseHoldResponse>, Status> {
        self.command(request).await
    }

    async fn correct_order(
        &self,
        request: Request<proto::CorrectOrderRequest>,
    ) -> Result<Response<proto::CorrectOrderResponse>, Status> {
        self.command(request).await
    }

    async fn update_shipment(
        &self,
        request: Request<proto::UpdateShipmentRequest>,
    ) -> Result<Response<proto::UpdateShipmentResponse>, Status> {
        self.command(request).await
    }

    async fn record_delivery(
        &self,
        request: Request<proto::RecordDeliveryRequest>,
    ) -> Result<Response<proto::RecordDeliveryResponse>, Status> {
        self.command(request).await
    }

    async fn undo_shipment(
        &self,
        request: Request<proto::UndoShipmentRequest>,
    ) -> Result<Response<proto::UndoShipmentResponse>, Status> {
        self.command(request).await
    }

    async fn add_note(
        &self,
        request: Request<proto::AddNoteRequest>,
    ) -> Result<Response<proto::AddNoteResponse>, Status> {
        self.command(request).await
    }

    async fn edit_order(
        &self,
        request: Request<proto::EditOrderRequest>,
    ) -> Result<Response<proto::EditOrderResponse>, Status> {
        self.command(request).await
    }

    type ExecuteCommandsStream = Messages<proto::ExecuteCommandsResponse>;

    async fn execute_commands(
        &self,
        request: Request<Streaming<proto::ExecuteCommandsRequest>>,
    ) -> Result<Response<Self::ExecuteCommandsStream>, Status> {
        let call = CallContext::of(&request)?;
        Ok(Response::new(execute::answers(self.clone(), call, request)))
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

    async fn list_returns(
        &self,
        request: Request<proto::ListReturnsRequest>,
    ) -> Result<Response<proto::ListReturnsResponse>, Status> {
        self.list_of_returns(request).await
    }

    type WatchOrdersStream = Messages<proto::WatchOrdersResponse>;

    async fn watch_orders(
        &self,
        request: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        self.watch(request).await
    }
}
