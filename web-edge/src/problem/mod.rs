//! A refusal as RFC 9457 has it. Its code, and the page behind its `type`, are of the one table of
//! reasons.
//! Never here: which calls are refused.

mod http_status; // gRPC statuses and reasons → HTTP
pub(crate) mod page; // the page about a reason

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use shared_events::contract::Reason;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::trace::trace_of;

pub use http_status::statuses_of;
pub(crate) use http_status::{of_code, of_reason};

/// A field at fault.
#[derive(Clone, Debug)]
struct Fault {
    field: String,
    message: String,
    code: String,
}

/// A refused call by HTTP.
#[derive(Clone, Debug)]
pub struct Problem {
    reason: Option<Reason>,
    status: StatusCode,
    said: Box<Said>,
}

/// What else there is to say.
#[derive(Clone, Debug, Default)]
struct Said {
    detail: String,
    instance: String,
    trace_id: Option<String>,
    faults: Vec<Fault>,
    metadata: Map<String, Value>,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

impl Problem {
    /// For a reason, in words.
    #[must_use]
    pub fn new(reason: Reason, detail: &str) -> Self {
        let said = Box::new(Said { detail: detail.to_owned(), ..Said::default() });
        Self { reason: Some(reason), status: of_reason(reason), said }
    }

    /// What a service answered. `conditional`: whether the call had a precondition in a header.
    #[must_use]
    pub fn from_status(status: &Status, conditional: bool) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.and_then(|info| Reason::of(&info.reason)).or(match status.code() {
            Code::Ok => None,
            _ => Some(Reason::Internal),
        });
        let metadata = info.into_iter().flat_map(|info| info.metadata.clone());
        let mut metadata: Vec<(String, String)> = metadata.collect();
        metadata.sort();
        let faults = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        let faults = faults.map(|fault| Fault {
            field: fault.field.clone(),
            message: fault.description.clone(),
            code: fault.reason.clone(),
        });
        let said = Said {
            detail: status.message().to_owned(),
            faults: faults.collect(),
            metadata: metadata.into_iter().map(|(key, value)| (key, Value::from(value))).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            ..Said::default()
        };
        let http = of_code(status.code(), reason, conditional);
        Self { reason, status: http, said: Box::new(said) }
    }

    /// No route has this path.
    pub(crate) fn no_route(path: &str) -> Self {
        let shown: String = path.chars().take(200).collect();
        let detail = format!(
            "there is nothing at {shown}; a path has one spelling, with %2F, %3A and so on inside \
             of names"
        );
        Self::new(Reason::RouteNotFound, &detail)
    }

    /// The path is known, with these methods.
    pub(crate) fn no_method(allow: &str) -> Self {
        let detail = format!("this address has the methods {allow}");
        let mut problem = Self::new(Reason::MethodNotAllowed, &detail);
        problem.said.allow = Some(allow.to_owned());
        problem
    }

    /// Names a field at fault.
    pub(crate) fn about(mut self, field: &str, message: &str) -> Self {
        let code = self.code().to_owned();
        self.said.faults.push(Fault { field: field.to_owned(), message: message.to_owned(), code });
        self
    }

    /// An invalid field.
    pub(crate) fn field(field: &str, message: &str) -> Self {
        let detail =
            if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") };
        let problem = Self::new(Reason::InvalidField, &detail);
        if field.is_empty() { problem } else { problem.about(field, message) }
    }

    /// Adds a value for programs.
    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.said.metadata.insert(key.to_owned(), Value::from(value.to_string()));
        self
    }

    /// Of the call to this path.
    #[must_use]
    pub fn of(mut self, path: &str) -> Self {
        path.clone_into(&mut self.said.instance);
        self
    }

    /// Of a request that no call became, with its trace.
    pub(crate) fn of_request<B>(self, request: &Request<B>) -> Self {
        let trace_id = trace_of(request.headers(), request.extensions());
        self.of(request.uri().path()).traced(trace_id)
    }

    /// Of a call with this trace.
    pub(crate) fn traced(mut self, trace_id: Option<String>) -> Self {
        self.said.trace_id = trace_id;
        self
    }

    /// What happened, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.said.detail
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    fn code(&self) -> &'static str {
        self.reason.unwrap_or(Reason::Internal).code()
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let code = self.code();
        let mut json = json!({
            "type": format!("{}{code}", page::PATH),
            "title": title(code),
            "status": self.status.as_u16(),
            "detail": self.said.detail,
            "code": code,
        });
        let mut add = |key: &str, value: Value| json[key] = value;
        if !self.said.instance.is_empty() {
            add("instance", Value::from(self.said.instance.clone()));
        }
        if let Some(trace_id) = &self.said.trace_id {
            add("trace_id", Value::from(trace_id.clone()));
        }
        if let Some(after) = self.said.retry_after {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            add("retry", json!({ "after_ms": after_ms, "same_request": true }));
        }
        if !self.said.faults.is_empty() {
            let faults = self.said.faults.iter().map(|fault| {
                let Fault { field, message, code } = fault;
                json!({ "field": field, "message": message, "code": code })
            });
            add("errors", faults.collect());
        }
        if !self.said.metadata.is_empty() {
            add("metadata", Value::Object(self.said.metadata.clone()));
        }
        json
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let body = self.json().to_string();
        let mut answer = Response::new(Body::new(http_body_util::Full::from(body)));
        *answer.status_mut() = self.status;
        // For whoever counts refusals.
        answer.extensions_mut().insert(self.reason.unwrap_or(Reason::Internal));
        let headers = answer.headers_mut();
        let mut add = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        add(header::CONTENT_TYPE, "application/problem+json");
        add(header::CACHE_CONTROL, "no-store");
        add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(allow) = &self.said.allow {
            add(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            add(header::WWW_AUTHENTICATE, "Bearer realm=\"ordinal\"");
        }
        if let Some(after) = self.said.retry_after {
            // Whole seconds, rounded up.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            add(header::RETRY_AFTER, &seconds.max(1).to_string());
        }
        answer
    }
}

/// A code in words: `VERSION_MISMATCH` is "Version mismatch".
fn title(code: &str) -> String {
    let mut words = code.to_ascii_lowercase().replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_status_of_an_error_and_a_title() {
        for reason in Reason::ALL {
            let status = of_reason(*reason);
            assert!(status.is_client_error() || status.is_server_error(), "{reason}: {status}");
            assert!(!title(reason.code()).contains('_'));
        }
    }

    #[test]
    fn the_same_reason_may_be_the_answer_to_a_condition() {
        let status = of_code(Code::Aborted, Some(Reason::VersionMismatch), true);
        assert_eq!(status.as_u16(), 412);
        assert_eq!(of_reason(Reason::VersionMismatch).as_u16(), 409);
        assert_eq!(of_reason(Reason::IdempotencyKeyReused).as_u16(), 422);
        assert_eq!(of_reason(Reason::DeadlineExceeded).as_u16(), 504);
        assert_eq!(of_reason(Reason::Overloaded).as_u16(), 503);
    }
}
