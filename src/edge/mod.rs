//! The gRPC server as a stack, outermost first: connections → who may call, and how much at once →
//! who answers (this process or another) → services, health and reflection.
//! Never here: rules about orders.

mod admission; // who gets in
mod body; // what is sent and taken, counted
mod connections; // the door
mod shares; // who may have how much at once
mod turns; // whose call is carried out next

pub use admission::Admission;
pub use connections::{Bounds, take_descriptors};
pub use shares::{Numbers, Shares};
pub use turns::{TurnOfCall, Turns};

use std::sync::Arc;
use std::time::Duration;

use inventory_stream::grpc::StockEdge;
use inventory_stream::grpc::proto::inventory_service_server::InventoryServiceServer;
use notification::grpc::NotificationEdge;
use notification::grpc::proto::notification_service_server::NotificationServiceServer;
use order_actor::domain::By;
use order_actor::grpc::{OrdersEdge, status};
use service_edge::feed::FactEdge;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceBuilder;

use crate::access::Access;
use crate::actions::asker;
use crate::admin::AdminEdge;
use crate::forward::Forwarding;

/// Calls of one connection under way at a time (hyper's own default is 200).
const CALLS_MAX: u32 = 128;
/// Headers of one request; hyper's own default is 16 MB, which invites header bombs.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// What a call may send that nobody has read yet: what HTTP/2 itself starts with.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What a connection may send that nobody has read yet: as much as all its calls may, so that none
/// waits for another. h2 lets half of it be spent on small frames (256 bytes each), and cuts the
/// connection then: 8 streams of commands of 60 bytes, unread, come to 1.7 MiB.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// What of an answer is put into the connection's own buffer before the client takes it.
const SEND_BUFFER_BYTES_MAX: usize = 128 * 1024;
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

const _: () = assert!(CONNECTION_WINDOW >= CALLS_MAX * STREAM_WINDOW);

/// What the server serves: what runs in this process, and where the rest is.
pub struct Services {
    /// Orders and their journal.
    pub orders: Option<OrdersEdge>,
    /// The stock service.
    pub stock: Option<InventoryServiceServer<StockEdge>>,
    /// The message service.
    pub notifications: Option<NotificationServiceServer<NotificationEdge>>,
    /// The fact feed.
    pub facts: FactEdge,
    /// Operations.
    pub admin: AdminEdge,
    /// Who may call.
    pub access: Access,
    /// Where calls are carried to that are not answered here.
    pub forwarding: Forwarding,
    /// How much callers may have at once.
    pub numbers: Numbers,
    /// How many connections there may be.
    pub bounds: Bounds,
}

impl Services {
    /// The services of this process by name, for health; the empty one is the process as a whole.
    fn names(&self) -> Vec<&'static str> {
        let mut names = vec!["", "ordinal.admin.v1.AdminService", "ordinal.facts.v1.FactService"];
        if self.orders.is_some() {
            names.push("ordinal.orders.v1.OrderService");
            names.push("ordinal.orders.v1.JournalService");
        }
        if self.stock.is_some() {
            names.push("ordinal.inventory.v1.InventoryService");
        }
        if self.notifications.is_some() {
            names.push("ordinal.notifications.v1.NotificationService");
        }
        names
    }
}

/// The health of the process itself, whether or not it can serve: for those who would restart it.
pub const LIVENESS: &str = "liveness";

/// Every service's descriptors, for reflection.
pub(crate) const DESCRIPTORS: [&[u8]; 5] = [
    order_actor::grpc::FILE_DESCRIPTOR_SET,
    inventory_stream::grpc::FILE_DESCRIPTOR_SET,
    notification::grpc::FILE_DESCRIPTOR_SET,
    crate::admin::FILE_DESCRIPTOR_SET,
    service_edge::feed::FILE_DESCRIPTOR_SET,
];

/// Stock and messages know callers by role and name.
fn telling_who_asks(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(by) = request.extensions().get::<By>() {
        let asked_by = asker(by);
        request.extensions_mut().insert(asked_by);
    }
    Ok(request)
}

/// Serves until told to stop; then takes no new calls and lets those under way end. Health says
/// whether the process is `ready`.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    let names = services.names();
    let now = *ready.borrow();
    tell_health(&health_reporter, &names, now).await;
    let following = stop.clone().run_until_cancelled_owned(async move {
        let mut ready = ready;
        while ready.changed().await.is_ok() {
            let now = *ready.borrow_and_update();
            tell_health(&health_reporter, &names, now).await;
        }
    });
    tokio::spawn(following);
    let turns = Turns::default();
    let mut routes = Routes::builder();
    routes.add_service(health);
    routes.add_service(services.admin.into_service());
    routes.add_service(services.facts.into_service());
    if let Some(orders) = services.orders {
        let (orders, journal) = orders.taking_turns(Arc::new(turns.clone())).into_services();
        routes.add_service(orders);
        routes.add_service(journal);
    }
    if let Some(stock) = services.stock {
        routes.add_service(InterceptedService::new(stock, telling_who_asks));
    }
    if let Some(notifications) = services.notifications {
        routes.add_service(InterceptedService::new(notifications, telling_who_asks));
    }
    // Many clients still ask by the older name of the same service.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1);
            routes.add_service(v1alpha);
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "reflection is not served"),
    }
    let stack = ServiceBuilder::new()
        .layer(Admission::new(services.access, Shares::new(services.numbers), turns))
        .layer(services.forwarding)
        .service(routes.routes().prepare());
    connections::serve(listener, stack, services.bounds, stop).await;
}

/// Serves other services by the same door as the engine's own: for those who compare.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Routes,
    access: Access,
    turns: Turns,
    stop: CancellationToken,
) {
    let admission = Admission::new(access, Shares::new(Numbers::default()), turns);
    let stack = ServiceBuilder::new().layer(admission).service(routes.prepare());
    connections::serve(listener, stack, Bounds::default(), stop).await;
}

async fn tell_health(reporter: &HealthReporter, names: &[&str], ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    DESCRIPTORS.iter().fold(builder, |builder, descriptors| {
        builder.register_encoded_file_descriptor_set(descriptors)
    })
}

/// Gives a reason to errors that arise before a service sees the call: every error has one.
fn explained(mut response: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    if status::explained(status).add_header(response.headers_mut()).is_err() {
        tracing::warn!("a status did not fit into headers");
    }
    response
}
