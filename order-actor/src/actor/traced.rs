use std::borrow::Cow;

use shared_events::contract::OrderId;
use shared_events::traces::{self, Kind, Span, TraceContext, Value};

use super::mailbox::{Context, Executed, Refusal};
use crate::domain::{By, Command};

/// The trace of a header, if it is recorded and traces are kept.
pub(super) fn recorded(traceparent: Option<&str>) -> Option<TraceContext> {
    if !traces::is_on() {
        return None;
    }
    let context: TraceContext = traceparent?.parse().ok()?;
    context.is_sampled().then_some(context)
}

/// Whether a command begins a trace of its own, which only belongs to that of the placing, or to
/// what set its timer: a timer acts hours later, and stock that is counted anew cancels orders of
/// days ago.
pub(super) fn is_apart(context: &Context) -> bool {
    traces::is_on() && context.traceparent.is_none() && matches!(context.by, By::Engine(_))
}

/// The span of a command that its order handles. What follows from the command belongs to it.
pub(super) fn handling(
    command: &Command,
    (order_id, shard): (OrderId, u16),
    cause: Option<TraceContext>,
    context: &mut Context,
) -> Span {
    if !traces::is_on() {
        return Span::none();
    }
    let name = || Cow::Owned(format!("order {}", command.name()));
    let mut span = match is_apart(context) {
        true => Span::linked(name, Kind::Internal, cause),
        false => {
            let traceparent = context.traceparent.as_deref();
            let mut span = Span::named_child(name, Kind::Internal, traceparent);
            // What it does in the trace of somebody else belongs to the order's own as well.
            let own = span.context().filter(|_| matches!(context.by, By::Engine(_)));
            if let (Some(own), Some(cause)) = (own, cause)
                && own.trace() != cause.trace()
            {
                span.link(cause);
            }
            span
        }
    };
    if span.is_some() {
        span.set("ordinal.order_id", order_id.to_string());
        span.set("ordinal.shard", shard);
        context.traceparent = span.traceparent();
    }
    span
}

/// Says what became of the command.
pub(super) fn end(mut span: Span, outcome: &Result<Executed, Refusal>) {
    if !span.is_some() {
        return;
    }
    match outcome {
        Ok(executed) => {
            let done = if executed.replayed { "REPLAYED" } else { "DONE" };
            span.set("ordinal.outcome", done);
            span.set("ordinal.version", executed.version);
            span.set("ordinal.position", executed.position);
        }
        Err(refusal) => {
            span.set("ordinal.outcome", "REFUSED");
            let reason = refusal.reason();
            span.set("ordinal.reason", reason.code());
            if reason.status().is_fault() {
                span.fail(reason.code());
            }
        }
    }
}

/// The span of an append, from its order's side: it waits for others and is written with them.
pub(super) fn appending(events: usize, context: &Context) -> Span {
    let mut span = Span::child("append", Kind::Internal, context.traceparent.as_deref());
    span.set_with("ordinal.events", || Value::from(u64::try_from(events).unwrap_or(u64::MAX)));
    span
}

/// What lines of the log belong to while a command is handled; nothing unless they say so.
pub(super) fn in_logs(order_id: OrderId, shard: u16, context: &Context) -> tracing::Span {
    if !traces::named_in_logs() {
        return tracing::Span::none();
    }
    let trace = context.traceparent.as_deref().and_then(|it| it.parse().ok());
    let trace_id = trace.map(TraceContext::trace_id).or_else(|| context.log_trace.clone());
    // Where it is recorded, the span is ours.
    let span_id = recorded(context.traceparent.as_deref()).map(TraceContext::span_id);
    tracing::info_span!(target: traces::CONTEXT, "command", %order_id, shard, trace_id, span_id)
}
