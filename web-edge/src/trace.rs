use std::fmt;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

/// Names the trace of a call (W3C Trace Context).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What systems add to it for themselves.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a trace that was made here, because the caller named none: an extension of the request.
/// Problems show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u64; 2]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([high, low]) = self;
        write!(f, "{high:016x}{low:016x}")
    }
}

impl TraceId {
    /// As the header `traceparent` (W3C Trace Context) names it, with this span; not sampled.
    #[must_use]
    pub fn traceparent(self, span: u64) -> String {
        format!("00-{self}-{span:016x}-00")
    }
}

/// The id of the trace in a header `traceparent`; none if it is not one.
#[must_use]
pub fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    shared_events::contract::trace_id(traceparent.to_str().ok()?)
}

/// The trace of a call: the caller's own, or one that was made for it.
pub(crate) fn trace_of(headers: &HeaderMap, extensions: &Extensions) -> Option<String> {
    let sent = headers.get(TRACEPARENT).and_then(trace_id).map(str::to_owned);
    sent.or_else(|| Some(extensions.get::<TraceId>()?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_was_made_is_named_as_callers_name_theirs() {
        let made = TraceId([1, u64::MAX]);
        let header = HeaderValue::from_str(&made.traceparent(7)).unwrap();
        assert_eq!(trace_id(&header), Some(made.to_string().as_str()));
    }
}
