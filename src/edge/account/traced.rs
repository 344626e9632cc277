use http::{HeaderMap, HeaderValue, Request};
use service_edge::is_fault;
use shared_events::chance::Chance;
use shared_events::traces::{self, Span, TraceContext};
use tonic::body::Body;
use tonic::{Code, Status};
use web_edge::TraceId;

use super::lines::shown;
use super::{Call, TRACEPARENT, TRACESTATE, Trace};

/// Methods of ours begin so; probes and reflection have no span.
const OURS: &str = "ordinal.";

/// A new trace.
pub(super) fn drawn() -> TraceId {
    let chance = Chance::system();
    TraceId([chance.bits(), chance.bits() | 1])
}

/// The trace of a call, and its span. What the call causes belongs to the span: it takes the place
/// of the caller's own in the request.
pub(super) fn begin(request: &mut Request<Body>, method: &str) -> (Trace, Span) {
    let trace = Trace::of(request);
    let (traced, named) = (traces::is_on() && method.starts_with(OURS), traces::named_in_logs());
    if !traced && !named {
        return (trace, Span::none());
    }
    // Lines of the log, the span and what the caller is told have one id.
    let trace = trace.made();
    if matches!(trace, Trace::Own(_)) {
        // It would be about a trace that the caller named.
        request.headers_mut().remove(TRACESTATE);
    }
    let mut span = match &trace {
        _ if !traced => Span::none(),
        Trace::Sent(sent) => Span::call(method, sent.to_str().ok(), None),
        // The process that forwarded it has decided.
        Trace::Own(_) if request.headers().contains_key(traces::UNRECORDED) => Span::none(),
        Trace::Own(own) => Span::call(method, None, own.map(number)),
    };
    if let (Trace::Own(Some(own)), false) = (&trace, span.is_some()) {
        // A `traceparent` would be stored with each event.
        if traced {
            request.headers_mut().insert(traces::UNRECORDED, HeaderValue::from_static("1"));
        }
        if named && let Ok(own) = HeaderValue::from_str(&own.to_string()) {
            request.headers_mut().insert(traces::LOG_TRACE, own);
        }
    }
    if let Some(Ok(header)) = span.traceparent().map(|it| HeaderValue::from_str(&it)) {
        request.headers_mut().insert(TRACEPARENT, header);
        span.set("rpc.system", "grpc");
        span.set("rpc.method", method.to_owned());
    }
    (trace, span)
}

/// The trace that a process of ours named for lines of the log, when it forwarded the call.
pub(super) fn named_by_peer(headers: &HeaderMap) -> Option<TraceId> {
    let text = traces::log_trace(headers.get(traces::LOG_TRACE)?.to_str().ok()?)?;
    let (high, low) = text.split_at_checked(16)?;
    let part = |digits| u64::from_str_radix(digits, 16).ok();
    Some(TraceId([part(high)?, part(low)?]))
}

fn number(TraceId([high, low]): TraceId) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Says why a call was refused. Only a fault of ours makes its span a failed one.
pub(super) fn refused(span: &mut Span, headers: &HeaderMap, reason: &'static str) {
    if !span.is_some() {
        return;
    }
    span.set("ordinal.reason", reason);
    let code = headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    if code.is_some_and(is_fault) {
        span.fail(reason);
    }
}

impl Call {
    /// What lines of the log belong to while the call is answered; nothing unless they say so.
    pub(in crate::edge) fn in_logs(&self) -> tracing::Span {
        if !traces::named_in_logs() {
            return tracing::Span::none();
        }
        let of_http = self.note.as_ref().and_then(|note| note.caller.get());
        let principal = self.caller.as_ref().or(of_http).and_then(shown);
        let trace_id = self.trace.id();
        let span_id = self.span.context().map(TraceContext::span_id);
        tracing::info_span!(
            target: traces::CONTEXT,
            "call",
            trace_id,
            span_id,
            rpc_method = &*self.method,
            principal
        )
    }
}
