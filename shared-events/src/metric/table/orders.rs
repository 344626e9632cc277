//! Orders, the journal and its shards.

use super::bounds::{OF_CALLS, OF_EVENTS, OF_WAITS};
use crate::metric::{Counter, Histogram, Observed};

/// Commands.
pub static COMMANDS: Counter<3> = Counter::new(
    "ordinal_commands_total",
    &["command", "outcome", "reason"],
    "Commands by outcome: applied, unchanged (nothing was to be done), validated, refused.",
)
.at_most(1_024);
/// Commands.
pub static COMMAND_DURATION: Histogram<1> = Histogram::of_times(
    "ordinal_command_duration_seconds",
    &["command"],
    OF_CALLS,
    "Time of a command from its order's queue to the answer, with the append.",
);
/// Actors.
pub static ORDERS_AWAKE: Observed<0> =
    Observed::number("ordinal_orders_awake", &[], "Orders in memory.");
/// Actors.
pub static ORDER_WAKES: Counter<1> = Counter::new(
    "ordinal_order_wakes_total",
    &["kind"],
    "Orders that came into memory: read from the journal (read), or presumed new (new).",
);
/// Actors.
pub static ORDER_REPLAY: Histogram<0> = Histogram::of_numbers(
    "ordinal_order_replay_events",
    &[],
    OF_EVENTS,
    "Events that an order was rebuilt of.",
);
/// Actors.
pub static ACTOR_STOPS: Counter<1> = Counter::new(
    "ordinal_actor_stops_total",
    &["cause"],
    "Orders that left memory: idle, room (for others), moved (shard), doubt (outcome), died, drained.",
);
/// Appends.
pub static APPEND_DURATION: Histogram<0> = Histogram::of_times(
    "ordinal_journal_append_duration_seconds",
    &[],
    OF_CALLS,
    "Time of one commit of the journal, which has the events of many orders.",
);
/// Appends.
pub static APPEND_EVENTS: Histogram<0> = Histogram::of_numbers(
    "ordinal_journal_append_events",
    &[],
    OF_EVENTS,
    "Events of one commit of the journal.",
);
/// Appends.
pub static APPENDS_REFUSED: Counter<1> = Counter::new(
    "ordinal_appends_refused_total",
    &["reason"],
    "Appends that the journal refused, by the reason's code.",
);
/// Appends.
pub static EVENTS: Counter<1> =
    Counter::new("ordinal_journal_events_total", &["event"], "Events appended by this process.");
/// Broken orders.
pub static QUARANTINED: Observed<0> = Observed::number(
    "ordinal_quarantined_orders",
    &[],
    "Orders with an impossible history, which are served no more.",
);

/// Shards.
pub static JOURNAL_SHARDS: Observed<0> =
    Observed::number("ordinal_journal_shards", &[], "Shards of the journal.");
/// Shards.
pub static HEAD_POSITION: Observed<1> = Observed::number(
    "ordinal_journal_head_position",
    &["shard"],
    "The last committed position of a shard, in the process that owns it.",
);
/// Shards.
pub static SHARD_OWNED: Observed<1> =
    Observed::number("ordinal_shard_owned", &["shard"], "1 for each shard that this process owns.");
/// Shards.
pub static SHARD_EPOCH: Observed<1> = Observed::number(
    "ordinal_shard_epoch",
    &["shard"],
    "The epoch in which a shard became this process's.",
);
/// Shards.
pub static HANDOVER: Histogram<1> = Histogram::of_times(
    "ordinal_shard_handover_seconds",
    &["step"],
    OF_WAITS,
    "Time of a statement that takes a shard (take) or hands it over (give).",
);
/// Leases.
pub static LEASE_AGE: Observed<0> = Observed::time(
    "ordinal_lease_age_seconds",
    &[],
    "How long ago the journal's lease was last renewed; of several databases the longest.",
);
/// Leases.
pub static LEASE_SELF_STOP: Observed<0> = Observed::time(
    "ordinal_lease_self_stop_seconds",
    &[],
    "How long after its last renewal a lease is trusted (--lease-self-stop).",
);
