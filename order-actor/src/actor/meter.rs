use shared_events::metric::{is_on, start, table};
use shared_events::traces::{self, TraceContext};
use tokio::time::Instant;

use super::mailbox::{Context, Executed, Refusal};
use super::traced;
use crate::domain::{Command, Event};

/// A command under way.
pub(super) struct Began {
    command: &'static str,
    validates: bool,
    since: Option<Instant>,
    /// The recorded trace that it belongs to, by what caused it.
    trace: Option<TraceContext>,
}

impl Began {
    pub(super) fn of(command: &Command, context: &Context) -> Self {
        let since = start();
        let command = if since.is_some() { command.name() } else { "" };
        let trace = since.and_then(|_| traced::recorded(context.traceparent.as_deref()));
        Self { command, validates: context.validate_only, since, trace }
    }

    /// Counts it, unless the node that owns the shard does.
    pub(super) fn ended(self, outcome: &Result<Executed, Refusal>) {
        let Self { command, validates, since, trace } = self;
        let Some(since) = since else { return };
        if matches!(outcome, Err(Refusal::NotOwner { owner: Some(_), .. })) {
            return;
        }
        let exemplar = trace.and_then(traces::exemplar);
        table::COMMAND_DURATION.took_in([command], since.elapsed(), exemplar);
        let (outcome, reason) = match outcome {
            Ok(_) if validates => ("validated", ""),
            Ok(executed) if executed.events.is_empty() => ("unchanged", ""),
            Ok(executed) => {
                confirmed(executed);
                ("applied", "")
            }
            Err(refusal) => ("refused", refusal.reason().code()),
        };
        table::COMMANDS.one([command, outcome, reason]);
    }
}

/// Counts how long an order waited for its confirmation, if it was confirmed now.
fn confirmed(executed: &Executed) {
    let is_confirmation = |event: &&Event| matches!(event, Event::OrderConfirmed { .. });
    if let Some(event) = executed.events.iter().find(is_confirmation)
        && let Some(details) = executed.order.details()
    {
        table::CONFIRMATION.took([], event.at().since(details.placed_at));
    }
}

/// Why an order left memory.
#[derive(Clone, Copy)]
pub(super) enum Stopped {
    /// Nobody needs it for now.
    Idle,
    /// Another order needed its place.
    Room,
    /// Its shard was another node's meanwhile.
    Moved,
    /// Its state may be wrong.
    Doubt,
    /// Its actor failed.
    Died,
    /// The process ends.
    Drained,
}

/// Counts an order that left memory.
pub(super) fn stopped(cause: Stopped) {
    table::ACTOR_STOPS.one([match cause {
        Stopped::Idle => "idle",
        Stopped::Room => "room",
        Stopped::Moved => "moved",
        Stopped::Doubt => "doubt",
        Stopped::Died => "died",
        Stopped::Drained => "drained",
    }]);
}

/// Counts an order that was rebuilt of so many events.
pub(super) fn read(events: usize) {
    if is_on() && events > 0 {
        table::ORDER_WAKES.one(["read"]);
        table::ORDER_REPLAY.saw([], u64::try_from(events).unwrap_or(u64::MAX));
    }
}

/// Counts an order that is placed without having been read.
pub(super) fn presumed() {
    table::ORDER_WAKES.one(["new"]);
}
