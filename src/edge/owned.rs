//! Looks whose order it is, in front of services that do not know: before a customer's call about an
//! order goes on, the order is read with the customer's own rights. An order of somebody else is
//! answered as the order service answers it: like one that does not exist.
//! Never here: who may call a method.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use order_actor::domain::By;
use order_actor::grpc::status::FORWARDED_HEADER;
use shared_events::contract::Reason;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt as _};

use super::calls::Method;
use super::forward::FROM_ROLE_HEADER;
use super::refusal::{refused, unavailable};
use service_edge::Refused;

/// The method that reads an order; its first field is the order's id, as text.
const READ: &str = "/ordinal.orders.v1.OrderService/GetOrder";
/// Bytes before a message: a flag and its length.
const PREFIX: usize = 5;
/// Ids are UUIDs; longer texts name no order.
const ID_BYTES_MAX: usize = 127;
/// The largest call about an order, and the largest order that is read for it.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Looks whose order it is.
#[derive(Clone, Copy)]
pub(super) struct Owned;

impl<S> Layer<S> for Owned {
    type Service = OwnedCalls<S>;

    fn layer(&self, inner: S) -> OwnedCalls<S> {
        OwnedCalls { inner }
    }
}

/// A service with [`Owned`] in front.
#[derive(Clone)]
pub(super) struct OwnedCalls<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for OwnedCalls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let of_customer = matches!(request.extensions().get(), Some(By::Customer(_)));
        // Admission has looked the method up.
        let method = request.extensions().get::<Arc<Method>>().filter(|method| method.asks_whose());
        let Some(method) = method.filter(|_| of_customer).cloned() else {
            return Either::Left(self.inner.call(request));
        };
        // The instance that was polled ready takes this call; its clone takes the next.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        Either::Right(Box::pin(async move {
            Ok(answer(&method, inner, request).await.unwrap_or_else(Status::into_http))
        }))
    }
}

/// The service's answer, if the order is the customer's.
async fn answer<S>(
    method: &Method,
    mut inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (head, body) = request.into_parts();
    let broke_off = |_| refused(Reason::Cancelled, "the call broke off");
    let bytes = Limited::new(body, BYTES_MAX).collect().await.map_err(broke_off)?.to_bytes();
    let malformed = || refused(Reason::MalformedMessage, "not a message of this method");
    let message =
        bytes.get(PREFIX..).filter(|_| bytes.first() == Some(&0)).ok_or_else(malformed)?;
    let order_id = method.order_id(message).ok_or_else(malformed)?;
    if order_id.is_empty() || order_id.len() > ID_BYTES_MAX {
        let message = "customers name one of their own orders, by its id";
        return Err(Refused::new(Reason::InvalidField).about("order_id").say(message));
    }
    let mut read = Request::new(Body::new(Full::new(read_order(&order_id))));
    *read.method_mut() = head.method.clone();
    *read.version_mut() = head.version;
    *read.uri_mut() = READ.parse().map_err(|_| malformed())?;
    *read.headers_mut() = head.headers.clone();
    // It is a call of its own: it goes to the process that has the order, also where this one came
    // from another.
    for name in [http::header::CONTENT_LENGTH.as_str(), FROM_ROLE_HEADER, FORWARDED_HEADER] {
        read.headers_mut().remove(name);
    }
    // Its slot and its progress stay with the call.
    if let Some(by) = head.extensions.get::<By>() {
        read.extensions_mut().insert(by.clone());
    }
    let Ok(found) = inner.call(read).await;
    if let Some(refusal) = refusal(found).await? {
        return Ok(refusal);
    }
    let Ok(ready) = inner.ready().await;
    let Ok(answer) = ready.call(Request::from_parts(head, Body::new(Full::new(bytes)))).await;
    Ok(answer)
}

/// The answer, if it is one of refusal; none if the order was read.
async fn refusal(answer: Response<Body>) -> Result<Option<Response<Body>>, Status> {
    let code = |headers: &http::HeaderMap| {
        headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
    };
    if code(answer.headers()).is_some_and(|code| code != Code::Ok) {
        return Ok(Some(answer));
    }
    let lost = || {
        let message = "whose order it is could not be read; ask again";
        unavailable(Reason::Unavailable, message)
    };
    let read = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
    let read = read.map_err(|_| lost())?;
    match read.trailers().and_then(code) {
        Some(Code::Ok) => Ok(None),
        _ => Err(lost()),
    }
}

/// The frame of a request for the order.
fn read_order(order_id: &str) -> Bytes {
    let text = order_id.as_bytes();
    let mut frame = BytesMut::with_capacity(PREFIX + 2 + text.len());
    // At most ID_BYTES_MAX, so one byte is enough for its length.
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    frame.put_u8(0);
    frame.put_u32(u32::from(length) + 2);
    // Field 1, with a length before it.
    frame.put_u8(1 << 3 | 2);
    frame.put_u8(length);
    frame.put_slice(text);
    frame.freeze()
}
