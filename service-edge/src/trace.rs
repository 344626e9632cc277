use shared_events::contract::{trace_id, trace_state};
use tonic::Request;

/// The W3C trace context of a call. A malformed one is ignored, as W3C requires.
#[must_use]
pub fn traceparent<T>(request: &Request<T>) -> Option<String> {
    let text = request.metadata().get("traceparent")?.to_str().ok()?;
    trace_id(text).map(|_| text.to_owned())
}

/// What other systems added to the trace of a call for themselves (W3C `tracestate`), in one text.
/// Without a trace, and where it is malformed, it is ignored, as W3C requires.
#[must_use]
pub fn tracestate<T>(request: &Request<T>) -> Option<String> {
    let mut sent = request.metadata().get_all("tracestate").iter().peekable();
    sent.peek()?;
    traceparent(request)?;
    let texts: Result<Vec<&str>, _> = sent.map(|text| text.to_str()).collect();
    trace_state(&texts.ok()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn called(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        tracestate(&request)
    }

    #[test]
    fn a_trace_state_belongs_to_a_trace() {
        let (trace, state) = (("traceparent", TRACE), ("tracestate", "a=1,b=2"));
        assert_eq!(called(&[trace, state]).as_deref(), Some("a=1,b=2"));
        assert_eq!(called(&[state]), None);
        assert_eq!(called(&[("traceparent", "00-1"), state]), None);
        assert_eq!(called(&[trace]), None);
        assert_eq!(called(&[trace, ("tracestate", "a")]), None);
        // Sent in parts, it is one.
        let parts = [trace, ("tracestate", "a=1"), ("tracestate", "b=2")];
        assert_eq!(called(&parts).as_deref(), Some("a=1,b=2"));
    }
}
