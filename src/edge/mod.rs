//! The gRPC server as a stack, outermost first: connections → who may call, and how much at once →
//! who answers (this process or another) → services, health and reflection.
//! Never here: rules about orders.

pub mod access; // who may call what
pub(crate) mod admin; // what operators see and may do
mod admission; // who gets in
mod body; // what is sent and taken, counted
pub(crate) mod calls; // which methods there are, and who may call them
mod connections; // the door
pub(crate) mod forward; // calls that another process answers
pub(crate) mod health; // whether this process can serve
pub(crate) mod peers; // channels to other processes, and who this one is to them
pub(crate) mod refusal; // statuses of this package's own services
mod refusals; // how soon who asks too often hears of it
mod shares; // who may have how much at once
mod slots; // whose call is carried out next

pub use admission::Admission;
pub use connections::{Bounds, take_descriptors};
pub use shares::{Numbers, Shares};
pub use slots::{CallSlot, Slots};

use std::sync::Arc;
use std::time::Duration;

use order_actor::domain::By;
use order_actor::grpc::status;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Code, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceBuilder;

use access::Access;
use admin::{AdminEdge, asker};
use calls::Calls;
use forward::Forwarding;

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
    /// What is answered here, beside operations and health.
    pub routes: RoutesBuilder,
    /// Their full names, for health.
    pub names: Vec<&'static str>,
    /// Every method that there is, here or elsewhere.
    pub calls: Arc<Calls>,
    /// Whose call is carried out next.
    pub slots: Slots,
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

/// The health of the process itself, whether or not it can serve: for those who would restart it.
pub const LIVENESS: &str = "liveness";

/// What services know callers by that do not know `By`: role and name.
pub(crate) fn telling_who_asks(mut request: Request<()>) -> Result<Request<()>, Status> {
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
    // The empty name is the process as a whole.
    let mut names = services.names;
    names.extend(["", admin::RPC.name]);
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
    let mut routes = services.routes;
    routes.add_service(health);
    routes.add_service(services.admin.into_service());
    // Many clients still ask by the older name of the same service.
    let described = || reflection(&services.calls);
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1);
            routes.add_service(v1alpha);
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "reflection is not served"),
    }
    let Services { access, calls, slots, .. } = services;
    let admission = Admission::new(access, calls, Shares::new(services.numbers), slots);
    let stack = ServiceBuilder::new()
        .layer(admission)
        .layer(services.forwarding)
        .service(routes.routes().prepare());
    connections::serve(listener, stack, services.bounds, stop).await;
}

/// Serves other services by the same door as the engine's own: for those who compare.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Routes,
    (access, calls): (Access, Arc<Calls>),
    slots: Slots,
    stop: CancellationToken,
) {
    let admission = Admission::new(access, calls, Shares::new(Numbers::default()), slots);
    let stack = ServiceBuilder::new().layer(admission).service(routes.prepare());
    connections::serve(listener, stack, Bounds::default(), stop).await;
}

async fn tell_health(reporter: &HealthReporter, names: &[&str], ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}

fn reflection(calls: &Calls) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    calls.descriptors().fold(builder, |builder, descriptors| {
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
