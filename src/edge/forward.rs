//! Carries a call to the process that answers it: another service, or the order node that has the
//! order's shard. A call is carried once; who cannot answer it then says so.
//! Never here: what a call means.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use order_actor::grpc::Nodes;
use order_actor::grpc::status::{FORWARDED_HEADER, OWNER_HEADER};
use shared_events::contract::Reason;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Layer, Service, ServiceExt as _};

use super::CallSlot;
use super::peers;
use super::refusal::{away, refused};

/// A command is kept until it is known whose it is: 1 MiB, which it may have, and its frame.
const COMMAND_BYTES_MAX: usize = 1024 * 1024 + 5;
/// Header of a call that was carried here from a process of another role. An order node may still
/// carry it on to the node that has the order.
const CARRIED_HEADER: &str = "ordinal-carried";
/// A call that waited less has waited for nothing.
const WAITED_MIN: Duration = Duration::from_millis(1);
/// What is asked of orders, by path.
const ORDERS: &str = "/ordinal.orders.v1.OrderService/";
/// A stream of commands to many orders: each command finds its own way.
const COMMANDS: &str = "/ordinal.orders.v1.OrderService/ExecuteCommands";

/// Where calls are carried to that are not answered here.
#[derive(Clone, Default)]
pub struct Forwarding {
    /// Services of other processes, by the beginning of their paths.
    services: Vec<(&'static str, Channel)>,
    /// Other order nodes; none where there are no others.
    nodes: Option<NodeChannels>,
}

/// Channels to other order nodes by their addresses, made when they are first asked for.
#[derive(Clone, Default)]
pub struct NodeChannels(Arc<Mutex<HashMap<String, Channel>>>);

impl Nodes for NodeChannels {
    fn channel(&self, address: &str) -> Option<Channel> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = nodes.get(address) {
            return Some(channel.clone());
        }
        let channel = peers::channel(&[format!("http://{address}")]).ok().flatten()?;
        nodes.insert(address.to_owned(), channel.clone());
        Some(channel)
    }
}

impl Forwarding {
    /// Carries calls of these paths there.
    #[must_use]
    pub fn with_service(mut self, path: &'static str, channel: Option<Channel>) -> Self {
        self.services.extend(channel.map(|channel| (path, channel)));
        self
    }

    /// Carries what is asked of orders to the node that has them.
    #[must_use]
    pub fn with_nodes(mut self, nodes: NodeChannels) -> Self {
        self.nodes = Some(nodes);
        self
    }

    fn service(&self, path: &str) -> Option<Channel> {
        let mut services = self.services.iter();
        services.find(|(known, _)| path.starts_with(known)).map(|(_, channel)| channel.clone())
    }

    fn node(&self, address: &str) -> Option<Channel> {
        self.nodes.as_ref()?.channel(address)
    }
}

impl<S> Layer<S> for Forwarding {
    type Service = Forwarder<S>;

    fn layer(&self, inner: S) -> Forwarder<S> {
        Forwarder { forwarding: self.clone(), inner }
    }
}

/// A service with [`Forwarding`] in front.
#[derive(Clone)]
pub struct Forwarder<S> {
    forwarding: Forwarding,
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
        if !request.headers().contains_key(CARRIED_HEADER)
            && let Some(channel) = self.forwarding.service(path)
        {
            return Box::pin(async move { Ok(carry(channel, request, CARRIED_HEADER).await) });
        }
        let of_orders =
            self.forwarding.nodes.is_some() && path.starts_with(ORDERS) && path != COMMANDS;
        if request.headers().contains_key(FORWARDED_HEADER) || !of_orders {
            return Box::pin(self.inner.call(request));
        }
        // The one that was polled ready is used, its copy waits for the next call.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        let forwarding = self.forwarding.clone();
        Box::pin(async move { Ok(ask(forwarding, inner, request).await) })
    }
}

/// Asks here first: what is ours, and what is wrong with a call, is known here.
async fn ask<S>(forwarding: Forwarding, mut inner: S, request: Request<Body>) -> Response<Body>
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
        waited(&mut head.headers, asked.elapsed());
        Request::from_parts(head, Body::new(Full::new(bytes.clone())))
    };
    let Ok(answer) = inner.call(again(&head)).await;
    let owner = answer.headers().get(OWNER_HEADER).and_then(|owner| owner.to_str().ok());
    let Some(channel) = owner.and_then(|owner| forwarding.node(owner)) else { return answer };
    let answer = carry(channel, again(&head), FORWARDED_HEADER).await;
    if !answer.headers().contains_key(OWNER_HEADER) {
        return answer;
    }
    // It changed hands on the way, perhaps to us. Not carried again: who is not here now is away.
    if let Some(slot) = head.extensions.get::<CallSlot>()
        && !slot.again().await
    {
        return answer;
    }
    let Ok(ready) = inner.ready().await;
    let Ok(answer) = ready.call(again(&head)).await;
    answer
}

/// What another process answers. The mark tells it that the call is on its way already. It waits for
/// its slot there, and makes room here.
async fn carry(channel: Channel, mut request: Request<Body>, mark: &'static str) -> Response<Body> {
    if let Some(slot) = request.extensions_mut().remove::<CallSlot>() {
        slot.end();
    }
    request.headers_mut().insert(mark, HeaderValue::from_static("1"));
    match channel.oneshot(request).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a call could not be carried to its process");
            // It may have arrived; nobody knows.
            let message = "the process that answers this is away; whether it was done is not known \
                           yet; ask again with the same order id or request id";
            away(Reason::OutcomeUnknown, message).into_http()
        }
    }
}

/// Takes what was waited for from the time that a call has left.
pub(crate) fn waited(headers: &mut http::HeaderMap, passed: Duration) {
    if passed >= WAITED_MIN
        && let Some(left) = time_left(headers, passed)
    {
        headers.insert("grpc-timeout", left);
    }
}

/// A `grpc-timeout` less what has passed, in milliseconds; at least one.
fn time_left(headers: &http::HeaderMap, passed: Duration) -> Option<HeaderValue> {
    let timeout = order_actor::grpc::timeout(headers)?;
    let left = timeout.saturating_sub(passed).as_millis().clamp(1, 99_999_999);
    HeaderValue::from_str(&format!("{left}m")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waited_for_is_taken_from_the_time_that_is_left() {
        let left = |text: &'static str, passed| {
            let mut headers = http::HeaderMap::new();
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
        assert_eq!(time_left(&http::HeaderMap::new(), Duration::ZERO), None);
    }
}
