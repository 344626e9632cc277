//! The server as a stack, outermost first: connections → HTTP with JSON, written anew as gRPC →
//! access and admission → whose order it is → forwarding to the process that answers → services,
//! health and reflection.
//! Never here: rules about orders.

pub mod access; // which callers may call which methods
pub(crate) mod account; // what became of calls
pub(crate) mod admin; // the admin service, for operators
mod admission; // authentication, limits and slots in front of every call
mod arrival; // probes, and whose address a call by a proxy is from
mod body; // request and response bodies, counted against limits
pub(crate) mod breaker; // sends nothing to a process that is away
pub(crate) mod calls; // all gRPC methods and the roles that may call them
mod certificates; // callers that are known by their client certificate
mod codes; // names of statuses
pub(crate) mod commands; // slots and limits of commands that come by a stream
mod connections; // accepts connections and bounds their number and lifetime
pub(crate) mod forward; // forwards calls that another process answers
pub(crate) mod health; // whether this process can serve
mod lanes; // several connections to the same process
mod limit; // how often a caller may call
mod openapi; // the document of the routes, and Swagger UI
mod owned; // looks whose order it is, for services that do not know
mod passing; // streams of other processes, ended when this one stops
pub(crate) mod peers; // channels to other processes
pub mod policy; // who may call a method, as its proto says
mod principal; // a caller who is known
mod proxies; // whose address a call is from that came by a proxy
pub(crate) mod refusal; // gRPC statuses of this package's own services
mod refusals; // delays answers to connections that are refused repeatedly
mod shares; // fair shares of calls, streams and bytes per caller
mod slots; // fair scheduling of calls by caller
pub mod tls; // TLS for callers and to other processes
mod token_file; // the file of --tokens
pub mod tokens; // tokens of our own issuer
mod told; // webhooks of payment providers
pub(crate) mod upstream; // the way to another process
pub(crate) mod web; // calls by HTTP with JSON

pub use account::{AccessLog, Accounts};
pub use admission::Admission;
pub use codes::code_name;
pub use connections::{Bounds, take_descriptors};
pub(crate) use connections::{MakePage, PageEnd, serve_metrics};
pub use limit::{RateLimits, RateRule};
pub use proxies::{Network, Proxies};
pub use shares::{Numbers, Shares};
pub use slots::{CallSlot, Slots};
pub(crate) use told::{Receipt, Receive, sent_on};

use std::sync::Arc;
use std::time::Duration;

use order_actor::clock::{Clock, SystemClock};
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
use web_edge::WebEdge;

use access::Access;
use account::HttpCalls;
use admin::{AdminEdge, recorded_caller};
use arrival::Arrival;
use calls::Calls;
use certificates::Certified;
use forward::Forwarding;
use owned::Owned;
use tls::ServerTls;
use told::ToldDoor;

/// Calls of one connection under way at a time (hyper's own default is 200).
const CALLS_MAX: u32 = 128;
/// Headers that are read of one request over HTTP/2; hyper's own default is 16 MB, which invites
/// header bombs. More than a call may have, so that whoever sends larger ones learns why it is
/// refused.
const HEADERS_READ_MAX: u32 = 24 * 1024;
/// Unread bytes that a call may send: HTTP/2's own initial window.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Unread bytes that a connection may send: the sum of its calls' windows, so that no call waits
/// for another. h2 counts small frames (256 bytes each) against half of it and closes the
/// connection beyond that: 8 streams of commands of 60 bytes, unread, come to 1.7 MiB.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Bytes of an answer that the connection buffers before the client takes them.
const SEND_BUFFER_BYTES_MAX: usize = 128 * 1024;
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

const _: () = assert!(CONNECTION_WINDOW >= CALLS_MAX * STREAM_WINDOW);

/// Everything the server serves: services of this process, and routes to the others.
pub struct Services {
    /// The services answered here, beside admin and health.
    pub routes: RoutesBuilder,
    /// Their full names, for health.
    pub names: Vec<&'static str>,
    /// All methods, answered here or elsewhere.
    pub calls: Arc<Calls>,
    /// Whether everybody may read the descriptors of all methods.
    pub reflection: bool,
    /// The scheduler of calls.
    pub slots: Slots,
    /// The admin service.
    pub admin: AdminEdge,
    /// Authentication and roles.
    pub access: Access,
    /// The clock by which tokens end.
    pub clock: Arc<dyn Clock>,
    /// Where calls are forwarded that are not answered here.
    pub forwarding: Forwarding,
    /// The limits of callers.
    pub numbers: Numbers,
    /// How often callers may call.
    pub limits: RateLimits,
    /// What became of calls.
    pub accounts: Accounts,
    /// The proxies whose word counts.
    pub proxies: Proxies,
    /// The limits of connections.
    pub bounds: Bounds,
    /// TLS, if callers come by it.
    pub tls: Option<ServerTls>,
    /// HTTP with JSON, in front of all.
    pub web: WebEdge,
    /// Who receives webhooks of payment providers, if anybody does.
    pub(crate) told: Option<Receive>,
}

/// The health service name for liveness probes: serving as long as the process runs.
pub const LIVENESS: &str = "liveness";

/// Adds the caller's role and name to a request, for services that do not know `By`.
pub(crate) fn with_caller(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(by) = request.extensions().get::<By>() {
        let asked_by = recorded_caller(by);
        request.extensions_mut().insert(asked_by);
    }
    Ok(request)
}

/// Serves until stopped; then takes no new calls and lets those under way finish. Health reports
/// `ready`.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let arrival = Arrival { proxies: services.proxies, ready: ready.clone() };
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    // The empty name is the process as a whole.
    let mut names = services.names;
    names.extend(["", admin::RPC.name]);
    let now = *ready.borrow();
    report_health(&health_reporter, &names, now).await;
    let reporting = stop.clone().run_until_cancelled_owned(async move {
        let mut ready = ready;
        while ready.changed().await.is_ok() {
            let now = *ready.borrow_and_update();
            report_health(&health_reporter, &names, now).await;
        }
    });
    crate::tasks::spawn(reporting);
    let mut routes = services.routes;
    routes.add_service(health);
    routes.add_service(services.admin.into_service());
    if services.reflection {
        add_reflection(&mut routes, &services.calls);
    }
    let Services { access, clock, calls, slots, .. } = services;
    for keeping in access.running(&stop) {
        crate::tasks::spawn(keeping);
    }
    let certified = Certified(access.holders());
    let shares = Shares::new(services.numbers);
    if let Some(looking) = services.limits.running(&stop) {
        crate::tasks::spawn(looking);
    }
    let told = ToldDoor {
        receive: services.told,
        web: services.web.clone(),
        access: access.clone(),
        // Floods at the door take nothing from health checks.
        shares: Shares::new(services.numbers),
        limits: services.limits.clone(),
    };
    let admission = Admission::new((access, clock), calls, shares, slots);
    let admission = admission.counting(services.limits, services.accounts.clone());
    let stack = ServiceBuilder::new()
        .layer(certified)
        .layer(arrival)
        .layer(HttpCalls::new(services.accounts))
        .layer(told)
        .layer(services.web)
        .layer(admission)
        .layer(Owned)
        .layer(services.forwarding)
        .service(routes.routes().prepare());
    connections::serve(listener, stack, (services.bounds, services.tls), stop).await;
}

/// Serves other services behind the same stack as the engine's own, for comparisons.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Routes,
    (access, calls): (Access, Arc<Calls>),
    slots: Slots,
    stop: CancellationToken,
) {
    let certified = Certified(access.holders());
    let access = (access, Arc::new(SystemClock) as Arc<dyn Clock>);
    let admission = Admission::new(access, calls, Shares::new(Numbers::default()), slots);
    let stack = ServiceBuilder::new().layer(certified).layer(admission).service(routes.prepare());
    connections::serve(listener, stack, (Bounds::default(), None), stop).await;
}

async fn report_health(reporter: &HealthReporter, names: &[&str], ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}

fn add_reflection(routes: &mut RoutesBuilder, calls: &Calls) {
    // Many clients still use the older name of the same service.
    match (reflection(calls).build_v1(), reflection(calls).build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1);
            routes.add_service(v1alpha);
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "reflection is not served"),
    }
}

fn reflection(calls: &Calls) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    calls.descriptors().fold(builder, |builder, descriptors| {
        builder.register_encoded_file_descriptor_set(descriptors)
    })
}

/// Whether an answer says at once that something does not exist.
fn is_not_found(answer: &http::Response<Body>) -> bool {
    let code = answer.headers().get(Status::GRPC_STATUS);
    code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::NotFound)
}

/// Adds a reason to errors that arise before a service sees the call: every error has one.
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
