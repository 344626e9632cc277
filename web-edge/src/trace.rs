use std::fmt;

use http::HeaderValue;

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
pub fn trace_id(traceparent: &HeaderValue) -> Option<String> {
    let id = traceparent.to_str().ok()?.split('-').nth(1)?;
    let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| id.to_ascii_lowercase())
}
