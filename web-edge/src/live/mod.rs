//! `/v1/live`: several watches on one WebSocket. Each watch is a call of `GET /v1/orders:watch`, or
//! of the watch of a wallet, to the same stack, with the caller that the socket has named.
//! Never here: which changes a caller may see.

mod ask; // what a client says
mod session; // the socket from its first message to its last
mod watches; // the watches of a socket

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use shared_events::contract::Reason;
use shared_events::metric::table::LIVE_CONNECTIONS;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::front::Web;
use crate::guard;
use crate::problem::Problem;
use crate::rest::{self, Spelling};
use crate::trace::{TRACEPARENT, TRACESTATE};

use session::Terms;

/// Where sockets are opened.
pub(crate) const PATH: &str = "/v1/live";
/// The one subprotocol; a client may name none.
const PROTOCOL: &str = "ordinal.live.v1";

/// The connection of a request, once it becomes a WebSocket: an extension of the request. Whoever
/// has the connection runs the session after HTTP has ended, so that it counts as a connection and
/// is drained as one.
#[derive(Clone)]
pub struct Socket {
    connection: Arc<OfConnection>,
    /// What the request adds that opens the socket.
    known: Extensions,
}

/// What all requests of a connection share.
struct OfConnection {
    of_calls: Extensions,
    age: Duration,
    stop: CancellationToken,
    session: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Socket {
    /// Of a connection whose calls have these extensions. A session ends after `age`, and at `stop`.
    #[must_use]
    pub fn new(of_calls: Extensions, age: Duration, stop: CancellationToken) -> Self {
        let connection = OfConnection { of_calls, age, stop, session: Mutex::default() };
        Self { connection: Arc::new(connection), known: Extensions::new() }
    }

    /// What the calls of this socket know as well, of the request that opens it.
    pub fn with<T: Clone + Send + Sync + 'static>(&mut self, known: T) {
        self.known.insert(known);
    }

    /// What is to be run after HTTP has ended; none if the connection is no WebSocket.
    #[must_use]
    pub fn session(&self) -> Option<BoxFuture<'static, ()>> {
        self.slot().take()
    }

    fn keep(&self, session: BoxFuture<'static, ()>) {
        *self.slot() = Some(session);
    }

    fn slot(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.connection.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each call of this socket knows.
    fn of_calls(&self) -> Extensions {
        let mut all = self.connection.of_calls.clone();
        all.extend(self.known.clone());
        all
    }
}

/// Asks for a watch: an address with its parameters, and who asks.
pub(super) type Watch =
    Arc<dyn Fn(&str, HeaderMap) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Answers a request for a socket.
pub(crate) fn open<S>(web: &Arc<Web>, inner: &S, mut request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let accepted = guard::check(&web.hosts, &request).and_then(|()| check(&request));
    let (accept, socket) = match accepted {
        Ok(accepted) => accepted,
        Err(problem) => return problem.of_request(&request).into_response(),
    };
    let mut callers = HeaderMap::new();
    for name in [AUTHORIZATION, TRACEPARENT].iter().chain(&web.passed_headers) {
        if let Some(value) = request.headers().get(name) {
            callers.insert(name, value.clone());
        }
    }
    for part in request.headers().get_all(TRACESTATE) {
        callers.append(TRACESTATE, part.clone());
    }
    let protocol = request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL);
    let upgraded = hyper::upgrade::on(&mut request);
    let watch = watching(web, inner, &socket);
    let OfConnection { age, stop, .. } = &*socket.connection;
    let terms = Terms { headers: callers, watch, age: *age, stop: stop.clone() };
    socket.keep(Box::pin(async move {
        let _open = LIVE_CONNECTIONS.up(["websocket"]);
        match upgraded.await {
            Ok(upgraded) => session::run(TokioIo::new(upgraded), terms).await,
            Err(error) => tracing::debug!(%error, "a connection became no WebSocket"),
        }
    }));
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    answer
}

/// Makes watches: calls by HTTP that are written anew as any other is.
fn watching<S>(web: &Arc<Web>, inner: &S, socket: &Socket) -> Watch
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Behind a lock, so that the stack need not be shared between threads.
    let inner = Mutex::new(inner.clone());
    let (web, extensions) = (Arc::clone(web), socket.of_calls());
    Arc::new(move |uri, headers| {
        let request = Request::get(uri).version(Version::HTTP_11).body(Body::empty());
        let asked = request.map_err(|_| Problem::field("after", "too long")).and_then(|mut it| {
            *it.headers_mut() = headers;
            *it.extensions_mut() = extensions.clone();
            let matched = web.routes.find(it.method(), it.uri().path())?;
            Ok(rest::translate(&web, (matched, Spelling::Rest), it))
        });
        let (call, request) = match asked {
            Ok(asked) => asked,
            Err(problem) => return Box::pin(std::future::ready(problem.into_response())),
        };
        let inner = inner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(call.answer(inner.oneshot(request)))
    })
}

/// What a handshake of RFC 6455 has, and nothing that must not be in an address.
fn check(request: &Request<Body>) -> Result<(HeaderValue, Socket), Problem> {
    let no = |detail: &str| Problem::new(Reason::NotAcceptable, detail);
    if request.method() != Method::GET {
        return Err(Problem::no_method(Method::GET.as_str()));
    }
    let headers = request.headers();
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let upgrades = has(CONNECTION, "upgrade") && has(UPGRADE, "websocket");
    if request.version() != Version::HTTP_11 || !upgrades {
        return Err(no("this is a WebSocket, opened over HTTP/1.1 (ws:// or wss://)"));
    }
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err(no("a WebSocket of version 13"));
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        let what = "a socket takes no parameters: its messages say what is watched";
        return Err(Problem::field("", what));
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && !has(SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(no("the subprotocol is ordinal.live.v1, or none"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let accept = accept.ok_or_else(|| Problem::field("Sec-WebSocket-Key", "16 bytes as base64"))?;
    let socket = request.extensions().get::<Socket>().cloned();
    let socket = socket.ok_or_else(|| no("this process serves no WebSocket"))?;
    Ok((accept, socket))
}

#[cfg(test)]
mod tests;
