//! Refusals: one schema (RFC 9457), and for each status a response that lists its reasons.

use std::fmt::Write as _;

use crate::json::{Json, Object, reference};

/// A reason for which a call is refused.
#[derive(Clone, Debug)]
pub struct Refusal<'a> {
    /// The stable code, such as `NOT_FOUND`.
    pub code: &'a str,
    /// The statuses of HTTP that it is sent with.
    pub statuses: Vec<u16>,
    /// What happened.
    pub meaning: &'a str,
}

/// A response of refusals.
struct Response {
    status: u16,
    name: &'static str,
    text: &'static str,
}

const fn response(status: u16, name: &'static str, text: &'static str) -> Response {
    Response { status, name, text }
}

/// The statuses of refusals. A refusal with another one is not described.
const RESPONSES: &[Response] = &[
    response(400, "BadRequest", "The request is invalid. `errors` names the fields."),
    response(401, "Unauthenticated", "There is no token, or it is not valid."),
    response(403, "Forbidden", "The caller may not do this."),
    response(404, "NotFound", "It does not exist, or belongs to another customer."),
    response(406, "NotAcceptable", "The route does not answer in the format asked for."),
    response(408, "RequestTimeout", "The request did not arrive in time."),
    response(409, "Conflict", "The state does not allow it, or it exists with other content."),
    response(412, "PreconditionFailed", "The version is not that of `If-Match`."),
    response(413, "ContentTooLarge", "The body is too large."),
    response(415, "UnsupportedMediaType", "The body is not `application/json`."),
    response(421, "MisdirectedRequest", "The process does not answer under this `Host`."),
    response(422, "UnprocessableContent", "The idempotency key was used for another request."),
    response(429, "TooManyRequests", "The caller asks too often."),
    response(431, "HeadersTooLarge", "The headers are too large."),
    response(499, "ClientClosedRequest", "The caller went away."),
    response(500, "InternalError", "A defect: please report it."),
    response(501, "NotImplemented", "This process does not offer the call."),
    response(503, "Unavailable", "Not now. Send the same request again after `Retry-After`."),
    response(504, "DeadlineExceeded", "It took too long; whether it was done is not known."),
];

/// What a route has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Has {
    /// A body.
    pub(crate) body: bool,
    /// `If-Match`.
    pub(crate) version: bool,
    /// A key of idempotency.
    pub(crate) key: bool,
    /// `validate_only`.
    pub(crate) dry_run: bool,
    /// An answer with an ETag.
    pub(crate) etag: bool,
    /// One whose ETag changes with every change.
    pub(crate) whole: bool,
    /// A stream that can be resumed.
    pub(crate) cursor: bool,
}

/// The refusals of a route, by their statuses.
pub(crate) fn of_route(has: Has) -> impl Iterator<Item = (String, Object)> {
    let applies = move |status: u16| match status {
        408 => has.body,
        412 => has.version,
        422 => has.key,
        _ => true,
    };
    RESPONSES
        .iter()
        .filter(move |response| applies(response.status))
        .map(|response| (response.status.to_string(), reference("responses", response.name)))
}

/// The components that the refusals of routes refer to.
pub(crate) fn responses(refusals: &[Refusal<'_>]) -> Object {
    let mut all = Object::new();
    for Response { status, name, text } in RESPONSES {
        let mut description = (*text).to_owned();
        for (nth, refusal) in with_status(refusals, *status).enumerate() {
            description.push_str(if nth == 0 { "\n\n" } else { "\n" });
            let _ = write!(description, "- `{}`: {}", refusal.code, refusal.meaning);
        }
        let mut response = Object::new().with("description", description);
        let headers = headers(*status);
        if !headers.is_empty() {
            response.set("headers", headers);
        }
        let schema = Object::new().with("schema", reference("schemas", "Problem"));
        let content = Object::new().with("application/problem+json", schema);
        all.set(*name, response.with("content", content));
    }
    all
}

fn with_status<'a>(
    refusals: &'a [Refusal<'a>],
    status: u16,
) -> impl Iterator<Item = &'a Refusal<'a>> {
    refusals.iter().filter(move |refusal| refusal.statuses.contains(&status))
}

fn headers(status: u16) -> Object {
    match status {
        401 => Object::new().with("WWW-Authenticate", reference("headers", "WWW-Authenticate")),
        429 => Object::new()
            .with("Retry-After", reference("headers", "Retry-After"))
            .with("RateLimit", reference("headers", "RateLimit"))
            .with("RateLimit-Policy", reference("headers", "RateLimit-Policy")),
        503 => Object::new().with("Retry-After", reference("headers", "Retry-After")),
        _ => Object::new(),
    }
}

/// The schema of a refusal.
pub(crate) fn problem(refusals: &[Refusal<'_>]) -> Object {
    let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.code).collect();
    let properties = Object::new()
        .with("type", text("The page about the code: `/v1/problems/{code}`."))
        .with("title", text("The code in words."))
        .with("status", number("The status of HTTP.").with("minimum", 400).with("maximum", 599))
        .with("detail", text("What is wrong, for people. It may change."))
        .with("instance", text("The path of the request."))
        .with("code", text("The stable reason. Programs compare it.").with("examples", codes))
        .with("trace_id", text("Names the call in the logs."))
        .with("retry", retry())
        .with("errors", violations())
        .with("metadata", values());
    Object::new()
        .with("description", "Why a call was refused (RFC 9457).")
        .with("type", "object")
        .with("properties", properties)
        .with("required", vec!["type", "title", "status", "detail", "code"])
}

fn retry() -> Object {
    let properties = Object::new()
        .with("after_ms", number("Milliseconds to wait before.").with("minimum", 0))
        .with("same_request", typed("boolean", "Whether the same request may be sent again."));
    typed("object", "If it helps to try again.").with("properties", properties)
}

fn violations() -> Object {
    let properties = Object::new()
        .with("field", text("The path of the field, such as `lines[1].quantity`."))
        .with("code", text("The stable reason."))
        .with("message", text("What a valid value is."));
    let item = Object::new()
        .with("type", "object")
        .with("properties", properties)
        .with("required", vec!["field", "message", "code"]);
    typed("array", "The fields at fault, 20 at most.").with("items", item)
}

fn values() -> Object {
    let value = Object::new().with("type", "string");
    typed("object", "Further values of the reason.").with("additionalProperties", value)
}

/// Headers of refusals.
pub(crate) fn header_components() -> [(&'static str, Json); 4] {
    let seconds = Object::new().with("type", "integer").with("minimum", 0);
    let retry = Object::new().with("description", "Seconds to wait before trying again.");
    let challenge = Object::new().with("description", "Which tokens are accepted.");
    let challenge = challenge.with("schema", Object::new().with("type", "string"));
    let said = |description: &str, example: &str| {
        let schema = Object::new().with("type", "string").with("examples", vec![example]);
        Object::new().with("description", description).with("schema", schema)
    };
    let left = "How many more calls the limit of the caller allows at once (`r`), and after how \
        many seconds all of them (`t`).";
    let policy = "The limit of the caller: calls (`q`) in seconds (`w`).";
    [
        ("RateLimit", said(left, "\"customer\";r=0;t=60").into()),
        ("RateLimit-Policy", said(policy, "\"customer\";q=100;w=60").into()),
        ("Retry-After", retry.with("schema", seconds).into()),
        ("WWW-Authenticate", challenge.into()),
    ]
}

fn typed(kind: &str, description: &str) -> Object {
    Object::new().with("type", kind).with("description", description)
}

fn text(description: &str) -> Object {
    typed("string", description)
}

fn number(description: &str) -> Object {
    typed("integer", description)
}

/// A path without the method: no route answers it.
const METHOD_NOT_ALLOWED: u16 = 405;

/// Reasons with a status that no response describes.
pub(crate) fn undescribed<'a>(refusals: &'a [Refusal<'a>]) -> impl Iterator<Item = (&'a str, u16)> {
    refusals.iter().flat_map(|refusal| {
        let known = |status: u16| {
            status == METHOD_NOT_ALLOWED || RESPONSES.iter().any(|known| known.status == status)
        };
        refusal.statuses.iter().filter(move |one| !known(**one)).map(|one| (refusal.code, *one))
    })
}
