use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

use super::Hosts;

/// All methods of routes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Headers that pages may send, besides those that need no permission.
const SENT: [&str; 14] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "prefer",
    "traceparent",
    "tracestate",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "connect-protocol-version",
    "connect-timeout-ms",
];
/// Headers that pages may read.
const READ: HeaderValue = HeaderValue::from_static(
    "allow, etag, location, ordinal-replayed, ratelimit, ratelimit-policy, retry-after, \
     traceparent, www-authenticate, grpc-status, grpc-message, grpc-status-details-bin",
);
/// Browsers ask again after this: two hours, the most that they keep it.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("7200");

/// What the page that asks is told, where pages of some other origins may call.
pub(crate) struct Cors {
    /// Its origin, if it is one of them.
    origin: Option<HeaderValue>,
}

impl Cors {
    /// For a request; none where no page of another origin may call.
    pub(crate) fn of<B>(hosts: &Hosts, request: &Request<B>) -> Option<Self> {
        let origin = request.headers().get(ORIGIN).filter(|origin| hosts.permits(origin));
        hosts.permits_any().then(|| Self { origin: origin.cloned() })
    }

    /// The answer to the question that a browser asks before it sends what a page wants to; none if
    /// it is not that question. `more`: headers that may be sent as well.
    pub(crate) fn preflight<'a, B>(
        &self,
        request: &Request<B>,
        more: impl Iterator<Item = &'a HeaderName>,
    ) -> Option<Response<Body>> {
        let asked = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.origin.is_none() || request.method() != Method::OPTIONS || !asked {
            return None;
        }
        let sent = SENT.into_iter().chain(more.map(HeaderName::as_str));
        let sent = HeaderValue::from_str(&sent.collect::<Vec<_>>().join(", ")).ok()?;
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, sent);
        headers.insert(ACCESS_CONTROL_MAX_AGE, KEPT_FOR);
        Some(answer)
    }

    /// The answer with the permission to read it. Credentials of browsers are none of ours.
    pub(crate) fn permit(self, mut answer: Response<Body>) -> Response<Body> {
        let headers = answer.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
        answer
    }
}
