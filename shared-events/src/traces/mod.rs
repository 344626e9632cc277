//! Traces: what one call causes, in every process and however much later, as spans with a common
//! trace id. The context travels with commands, events and facts (W3C Trace Context); a span is a
//! value that is handed over when it ends. Until [`begin`] there are none, and each question costs
//! one look at a flag.
//! Never here: how spans are sent, personal data, texts that people wrote.

mod batch; // spans of a follower's batch
mod context; // a trace and a span in it, as headers name them
mod span; // a span under way
mod tracer; // whether and where spans are kept

pub use batch::BatchSpans;
pub use context::TraceContext;
pub use span::{EndedSpan, Kind, LINKS_MAX, Span, Value};
pub use tracer::{Ratio, Recorder, begin, is_on};

use std::sync::atomic::{AtomicBool, Ordering};

use crate::metric::Exemplar;

/// Target of the spans of `tracing` that say what a line of the log belongs to: they have the
/// fields `trace_id`, `order_id`, `shard`, `rpc_method`.
pub const CONTEXT: &str = "context";

/// The header of a call that came without a trace and is not recorded, where it is forwarded: whoever
/// gets it does not decide anew.
pub const UNRECORDED: &str = "ordinal-unrecorded";

/// The header that names the trace of a call that has no `traceparent` of its own, for lines of the
/// log: in this process, and in one that it is forwarded to.
pub const LOG_TRACE: &str = "ordinal-log-trace";

/// What a header [`LOG_TRACE`] says, where it is the id of a trace: 32 hexadecimal digits.
#[must_use]
pub fn log_trace(text: &str) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 32 && text.bytes().all(is_digit)).then_some(text)
}

/// A recorded call or command that ends now, for the bucket that counts it. Nothing where it is not
/// recorded.
#[must_use]
pub fn exemplar(of: TraceContext) -> Option<Exemplar> {
    let tracer = tracer::tracer().filter(|_| of.is_sampled())?;
    let at = u64::try_from(tracer.recorder.now().micros()).ok()?;
    Some(Exemplar { trace: of.trace(), span: of.span(), at })
}

/// Whether lines of the log name what they belong to.
static NAMED_IN_LOGS: AtomicBool = AtomicBool::new(false);

/// Whether lines of the log name what they belong to from now on. That costs each command two spans
/// of `tracing`.
pub fn name_in_logs(named: bool) {
    NAMED_IN_LOGS.store(named, Ordering::Relaxed);
}

/// Whether lines of the log name what they belong to.
#[must_use]
pub fn named_in_logs() -> bool {
    NAMED_IN_LOGS.load(Ordering::Relaxed)
}
