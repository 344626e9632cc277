//! Unary calls of the Connect protocol: one message each way, as JSON or binary, at the path of the
//! method of gRPC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::problem::Problem;

/// How long a client waits, in milliseconds.
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Binary,
}

impl Encoding {
    /// Of a call by Connect; none if a request is no such call.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Self> {
        if request.method() != Method::POST {
            return None;
        }
        let kind = request.headers().get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        match kind {
            "application/json" => Some(Self::Json),
            "application/proto" => Some(Self::Binary),
            _ => None,
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Binary => "application/proto",
        }
    }
}

/// The deadline of a call, as gRPC writes it.
pub(super) fn timeout(headers: &HeaderMap) -> Option<HeaderValue> {
    let millis: u64 = headers.get(TIMEOUT)?.to_str().ok()?.parse().ok()?;
    HeaderValue::from_str(&format!("{}m", millis.clamp(1, 99_999_999))).ok()
}

/// The answer to a refused call.
pub(super) fn refused(status: &Status, unread: Option<&Problem>) -> Response<Body> {
    let code = match unread {
        // What could not be read was never sent on.
        Some(problem) => match problem.status() {
            StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
            _ => Code::InvalidArgument,
        },
        None => status.code(),
    };
    let (name, http) = of(code);
    let message = unread.map_or_else(|| status.message().to_owned(), |it| it.detail().to_owned());
    let mut error = json!({ "code": name, "message": message });
    if unread.is_none()
        && let Ok(all) = tonic_types::Status::decode(status.details())
        && !all.details.is_empty()
    {
        let details = all.details.iter().map(|detail| {
            let kind = detail.type_url.rsplit('/').next().unwrap_or_default();
            json!({ "type": kind, "value": STANDARD_NO_PAD.encode(&detail.value) })
        });
        error["details"] = details.collect::<Value>();
    }
    let mut answer = Response::new(Body::new(http_body_util::Full::from(error.to_string())));
    *answer.status_mut() = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A code's name and status in Connect's own table.
const fn of(code: Code) -> (&'static str, u16) {
    match code {
        Code::Cancelled => ("canceled", 499),
        Code::Ok | Code::Unknown => ("unknown", 500),
        Code::InvalidArgument => ("invalid_argument", 400),
        Code::DeadlineExceeded => ("deadline_exceeded", 504),
        Code::NotFound => ("not_found", 404),
        Code::AlreadyExists => ("already_exists", 409),
        Code::PermissionDenied => ("permission_denied", 403),
        Code::ResourceExhausted => ("resource_exhausted", 429),
        Code::FailedPrecondition => ("failed_precondition", 400),
        Code::Aborted => ("aborted", 409),
        Code::OutOfRange => ("out_of_range", 400),
        Code::Unimplemented => ("unimplemented", 501),
        Code::Internal => ("internal", 500),
        Code::Unavailable => ("unavailable", 503),
        Code::DataLoss => ("data_loss", 500),
        Code::Unauthenticated => ("unauthenticated", 401),
    }
}
