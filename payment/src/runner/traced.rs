//! The spans of what is done at providers, and how long they take to answer.

use std::borrow::Cow;

use shared_events::contract::{PspName, Reason, Timestamp, trace_id};
use shared_events::metric;
use shared_events::metric::table::PSP_CALLS;
use shared_events::traces::{Kind, Span, TraceContext};
use tokio::time::Instant;

use crate::counted::{self, UNKNOWN};
use crate::domain::OperationKind;
use crate::store::{OperationRow, Origins};

/// What is called, or asked, at a provider.
#[derive(Clone, Copy)]
pub(super) enum Called {
    /// An operation.
    Operation(OperationKind),
    /// What became of one of ours.
    Find,
    /// What became of what somebody else did.
    Look,
}

impl Called {
    /// As it is counted.
    const fn word(self) -> &'static str {
        match self {
            Self::Operation(kind) => counted::word(kind),
            Self::Find => "find",
            Self::Look => "look",
        }
    }

    /// The name of its span.
    fn name(self) -> Cow<'static, str> {
        Cow::Owned(format!("psp {}", self.word()))
    }
}

/// A provider that was called, or asked, and has not answered yet.
pub(super) struct AtProvider<'a> {
    psp: &'a PspName,
    call: &'static str,
    began: Option<Instant>,
    span: Span,
}

impl<'a> AtProvider<'a> {
    /// For an operation: in the trace that opened it, unless that is long ago.
    pub(super) fn of(called: Called, row: &'a OperationRow) -> Self {
        let mut span = following(|| called.name(), Kind::Client, row);
        span.set_with("ordinal.attempt", || u64::from(row.schedule.calls));
        Self { psp: &row.psp, call: called.word(), began: metric::start(), span }
    }

    /// Below a span.
    pub(super) fn below(called: Called, psp: &'a PspName, traceparent: Option<&str>) -> Self {
        let mut span = Span::named_child(|| called.name(), Kind::Client, traceparent);
        span.set_with("ordinal.psp", || psp.to_string());
        Self { psp, call: called.word(), began: metric::start(), span }
    }

    /// It has answered. Returns the span, for what follows from the answer.
    pub(super) fn answered(mut self, outcome: &'static str) -> Option<String> {
        PSP_CALLS.since([self.psp.as_str(), self.call, outcome], self.began);
        self.span.set("ordinal.outcome", outcome);
        if outcome == UNKNOWN {
            self.span.fail(Reason::OutcomeUnknown.code());
        }
        self.span.traceparent()
    }
}

/// A span about an operation: in the trace that opened it, unless that is long ago.
fn following(name: impl FnOnce() -> Cow<'static, str>, kind: Kind, row: &OperationRow) -> Span {
    let Some((traceparent, since)) = &row.trace else { return Span::none() };
    let mut span = Span::following(name, kind, traceparent, Some(*since));
    if span.is_some() {
        span.set("ordinal.psp", row.psp.to_string());
        span.set("ordinal.order_id", row.order_id.to_string());
        span.set("ordinal.payment_id", row.payment_id.to_string());
        span.set("ordinal.operation_id", row.id.to_string());
    }
    span
}

/// What follows from an operation belongs to the span of its call; without one, to what opened it.
pub(super) fn origins(row: &OperationRow, span: Option<String>) -> Origins {
    let opened_in = || row.trace.as_ref().map(|(traceparent, _)| traceparent.clone());
    let traceparent = span.or_else(opened_in);
    let tracestate = state_of(row, traceparent.as_deref());
    Origins { causationid: Some(row.id.to_string()), traceparent, tracestate }
}

/// What other systems added to this trace (W3C `tracestate`), where it is the one that opened the
/// operation: what is done long afterwards has another one.
fn state_of(row: &OperationRow, traceparent: Option<&str>) -> Option<String> {
    let stated = row.tracestate.as_ref()?;
    let (opened_in, _) = row.trace.as_ref()?;
    (trace_id(opened_in)? == trace_id(traceparent?)?).then(|| stated.clone())
}

/// The span of a webhook that is handled, which is about an operation.
pub(super) fn hearing(row: &OperationRow) -> Span {
    following(|| Cow::Borrowed("hear webhook"), Kind::Consumer, row)
}

/// The span of what time does to the payments of an order. It has a trace of its own, as what other
/// timers do, with a link to what opened the operation that it follows.
pub(super) fn lapsing(trace: Option<&(String, Timestamp)>) -> Span {
    let after = trace.and_then(|(traceparent, _)| traceparent.parse::<TraceContext>().ok());
    Span::linked(|| Cow::Borrowed("payments lapse"), Kind::Internal, after)
}
