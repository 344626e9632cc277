use service_edge::{About, traceparent, tracestate};
use shared_events::contract::CustomerId;
use shared_events::traces::{self, Span, TraceContext};
use tonic::{Request, Status};

use super::parse::Violations;
use super::{proto, render, status};
use crate::domain::{By, Rejection, Role};

/// The span of one command of a stream.
const MESSAGE: &str = "ordinal.orders.v1.OrderService/ExecuteCommands message";

/// The caller, as authenticated by the layer in front of the services.
pub(super) fn caller<T>(request: &Request<T>) -> Result<By, Status> {
    request.extensions().get::<By>().cloned().ok_or_else(status::unauthenticated)
}

/// The metadata of a call.
#[derive(Clone, Debug)]
pub(super) struct CallContext {
    /// The caller.
    pub(super) by: By,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub(super) tracestate: Option<String>,
    /// The trace that lines of the log name where there is no other.
    pub(super) log_trace: Option<String>,
    /// Whether another node forwarded it here.
    pub(super) forwarded: bool,
}

impl CallContext {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        Ok(Self {
            by: caller(request)?,
            traceparent: traceparent(request),
            tracestate: tracestate(request),
            log_trace: log_trace(request),
            forwarded: forwarded(request),
        })
    }
}

/// The caller, if in one of these roles.
pub(super) fn caller_in<T>(request: &Request<T>, roles: &[Role]) -> Result<By, Status> {
    let by = caller(request)?;
    if roles.contains(&by.role()) {
        Ok(by)
    } else {
        Err(status::refused(&Rejection::Forbidden { role: by.role() }.into()))
    }
}

/// Where whoever writes a line about the call looks which order it is about.
pub(super) fn about<T>(request: &Request<T>) -> About {
    request.extensions().get::<About>().cloned().unwrap_or_default()
}

/// Whether another node forwarded the call here as the owner of the order's shard.
pub(super) fn forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(status::FORWARDED_HEADER)
}

/// The trace that this process, or one that forwarded the call, named for lines of the log.
fn log_trace<T>(request: &Request<T>) -> Option<String> {
    let text = request.metadata().get(traces::LOG_TRACE)?.to_str().ok()?;
    traces::log_trace(text).map(str::to_owned)
}

/// The span of one command of a stream, which has a trace of its own: that of the stream would have
/// no end. One that another node forwarded has its trace already.
pub(super) fn message_span(call: &mut CallContext) -> Span {
    if !traces::is_on() || call.forwarded {
        return Span::none();
    }
    let span = Span::of_message(MESSAGE, call.traceparent.as_deref());
    if span.is_some() {
        // Others have added nothing to a trace of its own.
        call.tracestate = None;
    }
    let of_stream = call.traceparent.take().and_then(|stream| stream.parse().ok());
    let unsampled = || of_stream.map(|stream: TraceContext| stream.unsampled().to_string());
    call.traceparent = span.traceparent().or_else(unsampled);
    span
}

/// The customer filter of a list or stream: customers see only their own orders.
pub(super) fn visible(
    by: &By,
    requested: Option<CustomerId>,
) -> Result<Option<CustomerId>, Status> {
    match requested {
        Some(requested) if !by.owns_orders_of(requested) => {
            Err(status::refused(&Rejection::Forbidden { role: by.role() }.into()))
        }
        requested => Ok(by.only_customer().or(requested)),
    }
}

/// Leaves of an order and its events what the caller may see.
pub(super) fn seen_by(by: &By, order: Option<&mut proto::Order>, events: &mut [proto::Event]) {
    if by.role() == Role::Customer {
        render::for_customer(order, events);
    }
}

/// The parsed value, or every violation as a status.
pub(super) fn well_formed<T>(parsed: Result<T, Violations>) -> Result<T, Status> {
    Ok(parsed?)
}
