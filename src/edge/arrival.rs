//! What happens to a call before it is looked at: probes are answered, and the address of a caller
//! behind a proxy is read.
//! Never here: who calls, or what a call means.

use std::convert::Infallible;
use std::future::Ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::sync::watch;
use tonic::body::Body;
use tower::{Layer, Service};
use web_edge::Socket;

use super::connections::Connection;
use super::proxies::{Proxies, SaidAddress};

/// Whether the process runs.
const LIVE: &str = "/livez";
/// Whether the process can serve: not while it is stopping, nor without what it needs.
const READY: &str = "/readyz";

/// The layer.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) proxies: Proxies,
    pub(super) ready: watch::Receiver<bool>,
}

/// A service with [`Arrival`] in front.
#[derive(Clone)]
pub(super) struct Arriving<S> {
    arrival: Arc<Arrival>,
    inner: S,
}

impl<S> Layer<S> for Arrival {
    type Service = Arriving<S>;

    fn layer(&self, inner: S) -> Arriving<S> {
        Arriving { arrival: Arc::new(self.clone()), inner }
    }
}

impl<S> Service<Request<Body>> for Arriving<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(answer) = self.arrival.probe(&request) {
            return Either::Right(std::future::ready(Ok(answer)));
        }
        if !self.arrival.proxies.is_empty()
            && let Some(connection) = request.extensions().get::<Arc<Connection>>()
            && let Some(said) = self.arrival.proxies.caller(connection.address, request.headers())
        {
            if let Some(socket) = request.extensions_mut().get_mut::<Socket>() {
                socket.with(said);
            }
            request.extensions_mut().insert(said);
        }
        Either::Left(self.inner.call(request))
    }
}

/// The caller's address: what a proxy of ours says, else the other end of the connection.
pub(super) fn address(request: &Request<Body>, connection: Option<&Connection>) -> IpAddr {
    let said = request.extensions().get::<SaidAddress>().map(|said| said.0);
    let peer = || connection.map(|from| from.address);
    said.or_else(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Whether a proxy of ours brings the call: calls of many callers come over its connections.
pub(super) fn is_by_proxy(request: &Request<Body>) -> bool {
    request.extensions().get::<SaidAddress>().is_some()
}

impl Arrival {
    /// The answer to a probe: it asks for no token, is not limited, and says nothing else.
    fn probe(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let method = request.method();
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let good = match request.uri().path() {
            LIVE => true,
            READY => *self.ready.borrow(),
            _ => return None,
        };
        let (status, text) = match good {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        };
        let text = if method == Method::HEAD { "" } else { text };
        let mut answer = Response::new(Body::new(Full::from(text)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(ready: bool, method: Method, path: &str) -> u16 {
        let (_sender, ready) = watch::channel(ready);
        let inner = tower::service_fn(|_| {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::IM_A_TEAPOT;
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let arrival = Arrival { proxies: Proxies::default(), ready };
        arrival.layer(inner).call(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_lives() {
        assert_eq!(status(false, Method::GET, "/livez").await, 200);
        assert_eq!(status(false, Method::GET, "/readyz").await, 503);
        assert_eq!(status(true, Method::HEAD, "/readyz").await, 200);
        for (method, path) in [(Method::POST, "/readyz"), (Method::GET, "/readyz/x")] {
            assert_eq!(status(true, method, path).await, 418, "{path}");
        }
    }
}
