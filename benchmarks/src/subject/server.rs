use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use order_actor::clock::{Clock as _, SystemClock};
use order_actor::domain::By;
use order_actor::grpc::commands::{CommandRequest, ParseContext};
use order_actor::grpc::proto::order_service_server::{OrderService, OrderServiceServer};
use order_actor::grpc::{OrdersEdge, proto, render};
use order_actor::projections::{OrderReturns, OrderSummaries, migrator};
use ordinal::access::Access;
use ordinal::{Slots, serve_routes, take_descriptors};
use shared_events::chance::Chance;
use shared_events::contract::OrderId;
use shared_events::stream::{Database, Dialect};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::engine::{Engine, SHARDS};
use super::framework::Framework;

/// `ordinal-bench serve`: a contender behind the engine's own gRPC edge, with its limits, its slots
/// and its authentication. Of the engine only the path of a command runs: journal, actors, edge.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Listening address.
    #[arg(long)]
    listen: SocketAddr,
    /// The framework behind plain handlers of HTTP, not behind our edge.
    #[arg(long, requires = "framework")]
    axum: bool,
    /// The contender.
    #[command(flatten)]
    contender: Contender,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Contender {
    /// The engine on this Postgres database.
    #[arg(long)]
    postgres: Option<String>,
    /// The engine on this SQLite file.
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// The engine with a journal in memory.
    #[arg(long)]
    memory: bool,
    /// The framework on this Postgres database.
    #[arg(long)]
    framework: Option<String>,
}

/// Serves until it is stopped.
///
/// # Errors
/// Where the contender cannot be opened or the address cannot be bound.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let Contender { postgres, sqlite, memory: _, framework } = args.contender;
    if let Some(url) = framework {
        if args.axum {
            return super::axum_edge::serve(args.listen, Framework::open(&url).await?).await;
        }
        let edge = FrameworkEdge(Framework::open(&url).await?);
        let orders = OrderServiceServer::new(edge);
        return listen(args.listen, orders, Slots::default()).await;
    }
    let engine = match (postgres, sqlite) {
        (Some(url), _) => Engine::postgres(&url, SHARDS).await?,
        (None, Some(file)) => Engine::sqlite(&file).await?,
        (None, None) => Engine::memory().await?,
    };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("orders.db");
    let lists = Database::sqlite(&file, &migrator(Dialect::Sqlite)).await?;
    let (summaries, returns) = (OrderSummaries::new(lists.clone()), OrderReturns::new(lists));
    let (registry, journal) = (engine.registry.clone(), engine.journal.clone());
    let slots = Slots::default();
    let edge = OrdersEdge::new(registry, summaries, returns, journal);
    let (orders, _) = edge.taking_slots(Arc::new(slots.clone())).into_services();
    listen(args.listen, orders, slots).await?;
    engine.close().await;
    Ok(())
}

async fn listen<S: OrderService>(
    address: SocketAddr,
    orders: OrderServiceServer<S>,
    slots: Slots,
) -> anyhow::Result<()> {
    take_descriptors();
    let listener = TcpListener::bind(address).await?;
    let mut term = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let routes = Routes::new(orders);
    let serving = serve_routes(listener, routes, Access::development(), slots, stop.clone());
    tokio::spawn(async move {
        term.recv().await;
        stop.cancel();
    });
    serving.await;
    Ok(())
}

/// The framework behind the same contract, with the same parsing and rendering.
struct FrameworkEdge(Framework);

impl FrameworkEdge {
    async fn command<T: CommandRequest>(
        &self,
        request: Request<T>,
    ) -> Result<Option<proto::Order>, Status> {
        let by = request.extensions().get::<By>().cloned();
        let by = by.ok_or_else(|| Status::unauthenticated("nobody"))?;
        let context = ParseContext { by: &by, ids: &Chance::system() };
        let parsed = request
            .into_inner()
            .parse(&context)
            .map_err(|violations| Status::invalid_argument(format!("{violations:?}")))?;
        let order_id = parsed.order_id;
        let failed = |error: anyhow::Error| Status::unavailable(error.to_string());
        self.0.execute(order_id, parsed.command, by).await.map_err(failed)?;
        self.shown(order_id).await.map_err(failed)
    }

    /// The framework returns nothing for a command, so the order is read afterwards.
    async fn shown(&self, order_id: OrderId) -> anyhow::Result<Option<proto::Order>> {
        let aggregate = self.0.load(order_id).await?;
        let order = aggregate.order().map_err(|impossible| anyhow::anyhow!("{impossible}"))?;
        Ok(render::order(order, 0, SystemClock.now()))
    }
}

fn not_compared() -> Status {
    Status::unimplemented("not compared")
}

#[tonic::async_trait]
impl OrderService for FrameworkEdge {
    async fn place_order(
        &self,
        request: Request<proto::PlaceOrderRequest>,
    ) -> Result<Response<proto::PlaceOrderResponse>, Status> {
        let order = self.command(request).await?;
        let order = order.map(Box::new);
        Ok(Response::new(proto::PlaceOrderResponse { order, ..Default::default() }))
    }

    async fn cancel_order(
        &self,
        request: Request<proto::CancelOrderRequest>,
    ) -> Result<Response<proto::CancelOrderResponse>, Status> {
        let order = self.command(request).await?;
        let order = order.map(Box::new);
        Ok(Response::new(proto::CancelOrderResponse { order, ..Default::default() }))
    }

    async fn get_order(
        &self,
        _: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        Err(not_compared())
    }

    async fn list_orders(
        &self,
        _: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        Err(not_compared())
    }

    async fn list_returns(
        &self,
        _: Request<proto::ListReturnsRequest>,
    ) -> Result<Response<proto::ListReturnsResponse>, Status> {
        Err(not_compared())
    }

    async fn fulfill_order(
        &self,
        _: Request<proto::FulfillOrderRequest>,
    ) -> Result<Response<proto::FulfillOrderResponse>, Status> {
        Err(not_compared())
    }

    async fn request_return(
        &self,
        _: Request<proto::RequestReturnRequest>,
    ) -> Result<Response<proto::RequestReturnResponse>, Status> {
        Err(not_compared())
    }

    async fn approve_return(
        &self,
        _: Request<proto::ApproveReturnRequest>,
    ) -> Result<Response<proto::ApproveReturnResponse>, Status> {
        Err(not_compared())
    }

    async fn reject_return(
        &self,
        _: Request<proto::RejectReturnRequest>,
    ) -> Result<Response<proto::RejectReturnResponse>, Status> {
        Err(not_compared())
    }

    async fn hold_order(
        &self,
        _: Request<proto::HoldOrderRequest>,
    ) -> Result<Response<proto::HoldOrderResponse>, Status> {
        Err(not_compared())
    }

    async fn release_hold(
        &self,
        _: Request<proto::ReleaseHoldRequest>,
    ) -> Result<Response<proto::ReleaseHoldResponse>, Status> {
        Err(not_compared())
    }

    async fn correct_order(
        &self,
        _: Request<proto::CorrectOrderRequest>,
    ) -> Result<Response<proto::CorrectOrderResponse>, Status> {
        Err(not_compared())
    }

    async fn update_shipment(
        &self,
        _: Request<proto::UpdateShipmentRequest>,
    ) -> Result<Response<proto::UpdateShipmentResponse>, Status> {
        Err(not_compared())
    }

    async fn record_delivery(
        &self,
        _: Request<proto::RecordDeliveryRequest>,
    ) -> Result<Response<proto::RecordDeliveryResponse>, Status> {
        Err(not_compared())
    }

    async fn undo_shipment(
        &self,
        _: Request<proto::UndoShipmentRequest>,
    ) -> Result<Response<proto::UndoShipmentResponse>, Status> {
        Err(not_compared())
    }

    async fn edit_order(
        &self,
        _: Request<proto::EditOrderRequest>,
    ) -> Result<Response<proto::EditOrderResponse>, Status> {
        Err(not_compared())
    }

    async fn receive_return(
        &self,
        _: Request<proto::ReceiveReturnRequest>,
    ) -> Result<Response<proto::ReceiveReturnResponse>, Status> {
        Err(not_compared())
    }

    async fn add_note(
        &self,
        _: Request<proto::AddNoteRequest>,
    ) -> Result<Response<proto::AddNoteResponse>, Status> {
        Err(not_compared())
    }

    type ExecuteCommandsStream =
        tokio_stream::Empty<Result<proto::ExecuteCommandsResponse, Status>>;

    async fn execute_commands(
        &self,
        _: Request<tonic::Streaming<proto::ExecuteCommandsRequest>>,
    ) -> Result<Response<Self::ExecuteCommandsStream>, Status> {
        Err(not_compared())
    }

    type WatchOrdersStream = tokio_stream::Empty<Result<proto::WatchOrdersResponse, Status>>;

    async fn watch_orders(
        &self,
        _: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        Err(not_compared())
    }
}
