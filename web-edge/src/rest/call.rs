use std::convert::Infallible;
use std::sync::Arc;

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, TE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use shared_events::contract::Reason;
use tonic::body::Body;
use tonic::{Code, Status};

use super::conditions::IDEMPOTENCY_KEY;
use super::connect::Encoding;
use super::request::{BODY_BYTES_MAX, Head, OneMessage, Shared};
use super::routes::{Matched, Route};
use super::stream::Form;
use super::{answer, connect, lines, prefer, query, stream};
use crate::front::Web;
use crate::problem::Problem;
use crate::trace::{TRACEPARENT, TRACESTATE, trace_of};

/// What a caller is told of its limit (draft-ietf-httpapi-ratelimit-headers).
const SAID_OF_LIMITS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-policy"), HeaderName::from_static("ratelimit")];

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// By the routes.
    Rest,
    /// By the Connect protocol.
    Connect(Encoding),
}

/// Bytes of a request by HTTP that are kept until all of them have arrived: an extension of the gRPC
/// call that it became. Whoever admits the call counts them before it reads them.
#[derive(Clone, Copy, Debug)]
pub struct UnreadBody(pub usize);

/// The template of the route that a call by HTTP came by: an extension of the gRPC call that it
/// became.
#[derive(Clone)]
pub struct RouteOf(Way);

#[derive(Clone)]
enum Way {
    Route(Arc<Route>),
    Beside(&'static str),
}

impl RouteOf {
    /// Of a request that no call becomes: what stands for the route, such as
    /// `/v1/webhooks/{provider}`.
    #[must_use]
    pub const fn beside(template: &'static str) -> Self {
        Self(Way::Beside(template))
    }

    /// Such as `/v1/orders/{order_id}`.
    #[must_use]
    pub fn template(&self) -> &str {
        match &self.0 {
            Way::Route(route) => route.template(),
            Way::Beside(template) => template,
        }
    }
}

impl UnreadBody {
    fn of(headers: &HeaderMap, has_body: bool) -> Self {
        let said =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Longer ones are refused when they come.
        Self(if has_body { said.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX) } else { 0 })
    }
}

/// A call by HTTP whose gRPC call is under way.
pub(crate) struct Call {
    pub(super) route: Arc<Route>,
    pub(super) spelling: Spelling,
    pub(super) shared: Shared,
    /// Whether it had a precondition in a header.
    pub(super) conditional: bool,
    /// The versions that the caller has.
    pub(super) if_none_match: Option<HeaderValue>,
    pub(super) head_only: bool,
    /// The form of a stream.
    pub(super) form: Form,
    path: String,
    trace_id: Option<String>,
}

/// Refuses to answer a stream as one object: concatenated objects are no JSON.
pub(crate) fn check_form(matched: &Matched, headers: &HeaderMap) -> Result<(), Problem> {
    if !matched.route.rpc.gives_stream || Form::asked_for(headers.get(ACCEPT)).is_some() {
        return Ok(());
    }
    let detail = "this is a stream: send `Accept: application/x-ndjson` or `text/event-stream`";
    Err(Problem::new(Reason::NotAcceptable, detail))
}

/// Refuses what a call does not take: a condition of reads, of a command; parameters, and headers
/// about one command, of a call by lines or by messages in binary.
pub(crate) fn check_bare<B>(
    matched: &Matched,
    spelling: Spelling,
    request: &Request<B>,
) -> Result<(), Problem> {
    if matched.route.has_body && request.headers().contains_key(IF_NONE_MATCH) {
        let what = "a command takes none: `If-Match` names the version that it requires";
        return Err(Problem::field("If-None-Match", what));
    }
    let by_lines = matched.route.rpc.takes_stream;
    if !by_lines && spelling != Spelling::Connect(Encoding::Binary) {
        return Ok(());
    }
    let pairs = query::pairs(request.uri().query().unwrap_or_default())?;
    if let Some((name, _)) = pairs.first() {
        let what = "this call takes no parameters: its fields are in its body";
        return Err(Problem::field(name, what));
    }
    for name in [IDEMPOTENCY_KEY, IF_MATCH] {
        if request.headers().contains_key(&name) {
            let what = "a message of this call says that itself: options.request_id, options.etag";
            return Err(Problem::field(name.as_str(), what));
        }
    }
    if by_lines && !request.headers().contains_key(CONTENT_TYPE) {
        let detail = "commands come by lines: send `Content-Type: application/x-ndjson`";
        return Err(Problem::new(Reason::UnsupportedMediaType, detail));
    }
    Ok(())
}

/// Writes a call by HTTP as a gRPC call.
pub(crate) fn translate(
    web: &Arc<Web>,
    (matched, spelling): (Matched, Spelling),
    request: Request<Body>,
) -> (Call, Request<Body>) {
    let (parts, body) = request.into_parts();
    let shared = Shared::default();
    let route = Arc::clone(&matched.route);
    let call = Call {
        spelling,
        shared: shared.clone(),
        conditional: parts.headers.contains_key(IF_MATCH),
        if_none_match: parts.headers.get(IF_NONE_MATCH).cloned(),
        head_only: matched.head_only,
        form: Form::asked_for(parts.headers.get(ACCEPT)).unwrap_or_default(),
        path: parts.uri.path().to_owned(),
        trace_id: trace_of(&parts.headers, &parts.extensions),
        route: Arc::clone(&route),
    };
    let mut headers = passed(&parts.headers, &web.passed_headers);
    if let (Spelling::Connect(_), Some(timeout)) = (spelling, connect::timeout(&parts.headers)) {
        headers.insert("grpc-timeout", timeout);
    }
    let query = parts.uri.query().map(str::to_owned);
    let unread = UnreadBody::of(&parts.headers, route.has_body && !route.rpc.takes_stream);
    let head = Head { matched, spelling, query, headers: parts.headers };
    let body = match route.rpc.takes_stream {
        true => Body::new(lines::Lines::new(head, body, shared)),
        false => Body::new(OneMessage::new(Arc::clone(web), head, body, shared)),
    };
    let mut inner = Request::new(body);
    *inner.method_mut() = Method::POST;
    *inner.uri_mut() = Uri::from(route.rpc.path.clone());
    *inner.version_mut() = Version::HTTP_2;
    *inner.headers_mut() = headers;
    *inner.extensions_mut() = parts.extensions;
    inner.extensions_mut().insert(unread);
    if spelling == Spelling::Rest {
        inner.extensions_mut().insert(RouteOf(Way::Route(route)));
    }
    (call, inner)
}

/// The headers of the gRPC call: who calls, his trace, how long he waits, and nothing else.
pub(crate) fn passed(given: &HeaderMap, more: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    for name in [AUTHORIZATION, TRACEPARENT].iter().chain(more) {
        if let Some(value) = given.get(name) {
            headers.insert(name, value.clone());
        }
    }
    // It may come in parts.
    for part in given.get_all(TRACESTATE) {
        headers.append(TRACESTATE, part.clone());
    }
    let timeout = prefer::wait(given).map(|wait| format!("{}S", wait.as_secs()));
    if let Some(timeout) = timeout.and_then(|timeout| HeaderValue::from_str(&timeout).ok()) {
        headers.insert("grpc-timeout", timeout);
    }
    headers
}

impl Call {
    /// Writes the gRPC call's answer as one by HTTP.
    pub(crate) async fn answer(
        self,
        answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Response<Body> {
        let Ok(answer) = answer.await;
        let limits = SAID_OF_LIMITS.map(|name| Some((answer.headers().get(&name)?.clone(), name)));
        let mut answer = self.written(answer).await;
        for (value, name) in limits.into_iter().flatten() {
            answer.headers_mut().insert(name, value);
        }
        answer
    }

    async fn written(self, answer: Response<Body>) -> Response<Body> {
        let early = Status::from_header_map(answer.headers()).filter(|it| it.code() != Code::Ok);
        if let Some(status) = early {
            return self.refused(&status);
        }
        match self.route.rpc.gives_stream {
            true => stream::answer(self, answer).await,
            false => answer::answer(self, answer).await,
        }
    }

    /// The answer to a call that was refused.
    pub(super) fn refused(&self, status: &Status) -> Response<Body> {
        match self.spelling {
            Spelling::Rest => self.problem_of(status).into_response(),
            Spelling::Connect(_) => connect::refused(status, self.unread().as_ref()),
        }
    }

    /// Why the request could not be read to its end.
    pub(super) fn unread(&self) -> Option<Problem> {
        self.shared.with(|known| known.problem.take())
    }

    /// Why a call was refused, or broke off.
    pub(super) fn problem_of(&self, status: &Status) -> Problem {
        let unread = match status.code() {
            // The request could not be read: then the services know less than we do.
            Code::Cancelled => self.unread(),
            _ => None,
        };
        self.problem(unread.unwrap_or_else(|| Problem::from_status(status, self.conditional)))
    }

    /// A problem of this call.
    pub(super) fn problem(&self, problem: Problem) -> Problem {
        problem.of(&self.path).traced(self.trace_id.clone())
    }
}
