use std::borrow::Cow;
use std::time::Duration;

use shared_events::contract::trace_id;
use shared_events::traces::{Kind, Span};

use crate::Channel;
use crate::channel::DeliveryError;
use crate::ledger::Entry;

/// The span of one try to send a message. Who gets it learns of the span.
pub(crate) fn sending(entry: &mut Entry) -> Span {
    let Some(traceparent) = entry.traceparent.take() else { return Span::none() };
    let name = match entry.channel {
        Channel::Email => "send mail",
        Channel::Sms => "send sms",
        Channel::Webhook => "send webhook",
    };
    let (name, since) = (|| Cow::Borrowed(name), Some(entry.asked_at));
    let mut span = Span::following(name, Kind::Client, &traceparent, since);
    if span.is_some() {
        span.set("ordinal.order_id", entry.order_id.to_string());
        span.set("ordinal.notification_id", entry.id.to_string());
        span.set("ordinal.attempt", u64::from(entry.attempts));
    }
    entry.traceparent = span.traceparent();
    // It is about the trace that the message belongs to, not about one of this try's own.
    let goes_on = entry.traceparent.as_deref().and_then(trace_id) == trace_id(&traceparent);
    entry.tracestate = entry.tracestate.take().filter(|_| goes_on);
    span
}

/// Says what became of it.
pub(crate) fn end(mut span: Span, sent: &Result<(), DeliveryError>) {
    let why = match sent {
        Ok(()) => return,
        Err(DeliveryError::Permanent(_)) => "REFUSED",
        Err(DeliveryError::Deferred { .. }) => "DEFERRED",
        Err(DeliveryError::Unavailable(_)) => "UNAVAILABLE",
        Err(DeliveryError::Unknown(_)) => "OUTCOME_UNKNOWN",
    };
    span.fail(why);
}

/// Says in the log that a try failed: for good, or until the next one.
pub(crate) fn not_delivered(entry: &Entry, error: &DeliveryError, wait: Option<Duration>) {
    let Entry { id: notification, order_id: order, .. } = entry;
    let trace_id = entry.traceparent.as_deref().and_then(trace_id);
    match wait {
        None => tracing::error!(%notification, %order, trace_id, %error, "delivery failed"),
        Some(wait) => {
            tracing::warn!(%notification, %order, trace_id, %error, ?wait, "delivery deferred");
        }
    }
}
