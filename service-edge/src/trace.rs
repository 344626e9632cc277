use shared_events::contract::trace_id;
use tonic::Request;

/// The W3C trace context of a call. A malformed one is ignored, as W3C requires.
#[must_use]
pub fn traceparent<T>(request: &Request<T>) -> Option<String> {
    let text = request.metadata().get("traceparent")?.to_str().ok()?;
    trace_id(text).map(|_| text.to_owned())
}
