//! Forwards a call to the process that answers it: another service, or the order node that owns the
//! order's shard. A call is forwarded between order nodes at most once.
//! Never here: what a call means.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Chain;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use order_actor::grpc::status::{FORWARDED_HEADER, OWNER_HEADER};
use order_actor::grpc::{EndsBy, Nodes};
use service_edge::Wire;
use shared_events::contract::Reason;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::TimeoutExpired;
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

use super::CallSlot;
use super::body::passed;
use super::calls::{self, Kind, Method};
use super::lanes::OfCommands;
use super::passing::{Of, Passing, Until};
use super::peers;
use super::refusal::{refused, unavailable};
use super::tls::{ClientTls, NotConnected};
use super::upstream::{Upstream, Ways};

/// A command is buffered until its owner is known: at most 1 MiB and its frame header.
const COMMAND_BYTES_MAX: usize = 1024 * 1024 + 5;
/// Header of a call that a process of another role forwarded here. An order node may still forward
/// it to the node that owns the order.
pub(super) const FROM_ROLE_HEADER: &str = "ordinal-carried";
/// Shorter waits are not taken from a call's deadline.
const WAITED_MIN: Duration = Duration::from_millis(1);
/// The path of calls to orders.
const ORDERS: &str = "/ordinal.orders.v1.OrderService/";
/// A stream of commands to many orders: each command is forwarded on its own.
pub(super) const COMMANDS: &str = "/ordinal.orders.v1.OrderService/ExecuteCommands";

/// Whether a call says that another process has forwarded it here. Anybody can say so: who it is
/// tells [`Access::is_from_peer`](super::access::Access::is_from_peer).
pub(super) fn says_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_HEADER) || headers.contains_key(FROM_ROLE_HEADER)
}

/// Where calls are forwarded that are not answered here.
#[derive(Clone, Default)]
pub struct Forwarding {
    /// Services of other processes, by the beginning of their paths.
    services: Vec<(String, Upstream)>,
    /// Paths of them that are answered here all the same.
    here: Vec<&'static str>,
    /// Other order nodes; none if there cannot be any.
    nodes: Option<NodeChannels>,
    /// Ends streams of other processes.
    stop: CancellationToken,
}

/// Channels to other order nodes by address, created on first use. By TLS only to a node whose
/// certificate has the host of the address, as the journal's row of nodes says it: a caller's token
/// goes to nobody else.
#[derive(Clone, Default)]
pub struct NodeChannels {
    known: Arc<Mutex<HashMap<String, Upstream>>>,
    tls: Option<ClientTls>,
    ways: Ways,
}

impl Nodes for NodeChannels {
    fn wire(&self, address: &str) -> Option<Wire> {
        self.upstream(address).map(|node| node.wire())
    }
}

impl NodeChannels {
    /// By TLS, or without it in clear text.
    #[must_use]
    pub(crate) fn new(tls: Option<ClientTls>, ways: Ways) -> Self {
        Self { known: Arc::default(), tls, ways }
    }

    /// The way to the node at this address; none if the address is invalid.
    pub(super) fn upstream(&self, address: &str) -> Option<Upstream> {
        let mut nodes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(address) {
            return Some(node.clone());
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let lanes = peers::lanes(&[url], self.tls.as_ref()).ok().flatten()?;
        let node = self.ways.to(address, lanes);
        nodes.insert(address.to_owned(), node.clone());
        Some(node)
    }
}

impl Forwarding {
    /// Forwards calls whose paths begin so.
    #[must_use]
    pub(crate) fn with_service(mut self, path: &str, to: Option<Upstream>) -> Self {
        self.services.extend(to.map(|to| (path.to_owned(), to)));
        self
    }

    /// Answers these paths here, although others that begin like them are forwarded.
    #[must_use]
    pub(crate) fn answering(mut self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        self.here.extend(paths);
        self
    }

    /// Ends streams of other processes when this one stops, with `STOPPING`.
    #[must_use]
    pub(crate) fn stopping_with(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// Forwards calls to orders to the node that owns them.
    #[must_use]
    pub fn with_nodes(mut self, nodes: NodeChannels) -> Self {
        self.nodes = Some(nodes);
        self
    }

    fn service(&self, path: &str) -> Option<Upstream> {
        if self.here.contains(&path) {
            return None;
        }
        let mut services = self.services.iter();
        services.find(|(known, _)| path.starts_with(known)).map(|(_, to)| to.clone())
    }

    /// The answer of another process of any kind.
    async fn pass_on(&self, to: &Upstream, request: Request<Body>) -> Response<Body> {
        let method = request.extensions().get::<Arc<Method>>().map(Arc::as_ref);
        let kind = calls::kind(method, request.uri().path(), false);
        let aged = request.extensions().get::<EndsBy>().map(|ends| ends.when.clone());
        let ending = |body: Body, of: Of| {
            let body = Passing::ending(body, of, Until::Stop, &self.stop);
            match &aged {
                Some(aged) => Passing::ending(body, of, Until::Age, aged),
                None => body,
            }
        };
        let request = match kind {
            Kind::BidiStream => {
                let mut request = request.map(|body| ending(body, Of::Messages));
                request.extensions_mut().insert(OfCommands);
                request
            }
            _ => request,
        };
        let answer = forward(to, request, FROM_ROLE_HEADER).await;
        match kind {
            Kind::Unary | Kind::ForwardedStream => answer,
            Kind::ServerStream => answer.map(|body| ending(body, Of::Answers)),
            Kind::BidiStream => answer.map(|body| ending(body, Of::AnswersToThem)),
        }
    }

    fn node(&self, address: &str) -> Option<Upstream> {
        self.nodes.as_ref()?.upstream(address)
    }
}

impl<S> Layer<S> for Forwarding {
    type Service = Forwarder<S>;

    fn layer(&self, inner: S) -> Forwarder<S> {
        Forwarder { forwarding: Arc::new(self.clone()), inner }
    }
}

/// A service with [`Forwarding`] in front.
#[derive(Clone)]
pub struct Forwarder<S> {
    forwarding: Arc<Forwarding>,
    inner: S,
}

impl<S> Service<Request<Body>> for Forwarder<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !request.headers().contains_key(FROM_ROLE_HEADER)
            && let Some(to) = self.forwarding.service(path)
        {
            let forwarding = Arc::clone(&self.forwarding);
            return Box::pin(async move { Ok(forwarding.pass_on(&to, request).await) });
        }
        let of_orders =
            self.forwarding.nodes.is_some() && path.starts_with(ORDERS) && path != COMMANDS;
        if !of_orders || request.headers().contains_key(FORWARDED_HEADER) {
            return Box::pin(self.inner.call(request));
        }
        // The instance that was polled ready takes this call; its clone takes the next.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        let forwarding = Arc::clone(&self.forwarding);
        Box::pin(async move { Ok(answer_or_forward(&forwarding, inner, request).await) })
    }
}

/// Tries this process first, which answers its own orders and refuses invalid calls; forwards a
/// call whose shard another node owns.
async fn answer_or_forward<S>(
    forwarding: &Forwarding,
    mut inner: S,
    request: Request<Body>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let asked = Instant::now();
    let (head, body) = request.into_parts();
    let bytes = match Limited::new(body, COMMAND_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = "a message has at most 1 MiB";
            return refused(Reason::MessageTooLarge, message).into_http();
        }
        Err(_) => return refused(Reason::Cancelled, "the call broke off").into_http(),
    };
    let again = |head: &http::request::Parts| {
        let mut head = head.clone();
        shorten_deadline(&mut head.headers, asked.elapsed());
        Request::from_parts(head, Body::new(Full::new(bytes.clone())))
    };
    let Ok(answer) = inner.call(again(&head)).await;
    let owner = answer.headers().get(OWNER_HEADER).and_then(|owner| owner.to_str().ok());
    let Some(node) = owner.and_then(|owner| forwarding.node(owner)) else { return answer };
    let answer = forward(&node, again(&head), FORWARDED_HEADER).await;
    if !answer.headers().contains_key(OWNER_HEADER) {
        return answer;
    }
    // The shard changed owners meanwhile, perhaps to us. The call is not forwarded again: if the
    // shard is not here, it is unavailable.
    if let Some(slot) = head.extensions.get::<CallSlot>()
        && !slot.again().await
    {
        return answer;
    }
    let Ok(ready) = inner.ready().await;
    let Ok(answer) = ready.call(again(&head)).await;
    answer
}

/// Returns another process's answer. The header tells it that the call was forwarded. The call
/// waits for a slot there and gives up its slot here. It is sent once, or not at all.
async fn forward(
    to: &Upstream,
    mut request: Request<Body>,
    header: &'static str,
) -> Response<Body> {
    let pass = match to.pass() {
        Ok(pass) => pass,
        Err(status) => return status.into_http(),
    };
    if let Some(slot) = request.extensions_mut().remove::<CallSlot>() {
        slot.end();
    }
    request.headers_mut().insert(header, HeaderValue::from_static("1"));
    match to.send(pass, request).await {
        Ok(answer) => answer,
        // The caller's own deadline, which says nothing of the process.
        Err(error) if Chain::new(&error).any(|it| it.is::<TimeoutExpired>()) => {
            passed().into_http()
        }
        Err(error) => {
            let process = to.process();
            match NotConnected::within(&error) {
                Some(why) => tracing::warn!(process, "a call could not be forwarded: {why}"),
                None => {
                    tracing::warn!(%error, process, "a call could not be forwarded to its process");
                }
            }
            // It may have arrived.
            let message = "the process that answers this is unavailable; the outcome is not known yet; \
                           ask again with the same order id or request id";
            unavailable(Reason::OutcomeUnknown, message).into_http()
        }
    }
}

/// Takes time that has passed from a call's deadline.
pub(crate) fn shorten_deadline(headers: &mut HeaderMap, passed: Duration) {
    if passed >= WAITED_MIN
        && let Some(left) = time_left(headers, passed)
    {
        headers.insert("grpc-timeout", left);
    }
}

/// A `grpc-timeout` minus the time that has passed, in milliseconds; at least one.
fn time_left(headers: &HeaderMap, passed: Duration) -> Option<HeaderValue> {
    let timeout = order_actor::grpc::timeout(headers)?;
    let left = timeout.saturating_sub(passed).as_millis().clamp(1, 99_999_999);
    HeaderValue::from_str(&format!("{left}m")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::breaker::Breakers;

    /// How a call to stock ends that waits for 20 ms.
    async fn ends(to: &Upstream) -> String {
        let mut request = Request::post("/ordinal.inventory.A/B");
        request = request.header("grpc-timeout", "20m");
        let request = request.body(Body::empty()).unwrap();
        let answer = forward(to, request, FROM_ROLE_HEADER).await;
        answer.headers()["grpc-status"].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_deadline_that_passes_is_no_failure_of_the_process_and_no_connection_is() {
        // It takes connections, and no more.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lanes = peers::lanes(&[url], None).unwrap().unwrap();
        let breakers = Breakers::default();
        let stock = Ways::new(breakers.clone(), &peers::Identity::default()).to("stock", lanes);
        for _ in 0..10 {
            assert_eq!(ends(&stock).await, "4");
        }
        assert!(breakers.open().is_none());
        drop(listener);
        // The connection may take a call or two to end, and a busy machine some to notice.
        let patience = Instant::now() + Duration::from_secs(60);
        while breakers.open().is_none() {
            assert!(Instant::now() < patience, "nothing fails");
            ends(&stock).await;
        }
        assert_eq!(ends(&stock).await, "14");
    }

    #[test]
    fn time_that_passed_is_taken_from_the_deadline() {
        let left = |text: &'static str, passed| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            time_left(&headers, Duration::from_millis(passed))
                .map(|left| left.to_str().unwrap().to_owned())
        };
        assert_eq!(left("5S", 1_200).as_deref(), Some("3800m"));
        assert_eq!(left("250000u", 50).as_deref(), Some("200m"));
        assert_eq!(left("1S", 5_000).as_deref(), Some("1m"));
        assert_eq!(left("1H", 0).as_deref(), Some("3600000m"));
        for none in ["", "S", "5", "5X", "-1S", "123456789S"] {
            assert_eq!(left(none, 0), None, "{none}");
        }
        assert_eq!(time_left(&HeaderMap::new(), Duration::ZERO), None);
    }
}
