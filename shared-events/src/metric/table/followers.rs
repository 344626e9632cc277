//! Followers, timers, and what the shop does.

use super::bounds::{OF_CALLS, OF_WAITS};
use crate::metric::{Counter, Histogram, Level, Observed};

/// Lag.
pub static LAG_POSITIONS: Observed<1> = Observed::number(
    "ordinal_follower_lag_positions",
    &["follower"],
    "Positions between a follower and the head of its log; absent while that is unknown.",
);
/// Lag.
pub static LAG_SECONDS: Observed<1> = Observed::time(
    "ordinal_follower_lag_seconds",
    &["follower"],
    "Age of the oldest item that a follower has still to read; absent if unknown.",
);
/// Lag.
pub static FOLLOWER_STILL: Observed<1> = Observed::time(
    "ordinal_follower_still_seconds",
    &["follower"],
    "How long ago a follower's cursor last moved, or it last found nothing to do.",
);
/// Lag.
pub static FOLLOWER_STOPPED: Observed<1> = Observed::number(
    "ordinal_follower_stopped",
    &["follower"],
    "1 for a follower that goes on only with an operator: its log is broken, or another one.",
);
/// Facts.
pub static FACTS: Counter<2> = Counter::new(
    "ordinal_follower_facts_total",
    &["follower", "outcome"],
    "Items of a follower: read, set aside as a dead letter (parked); and tries that failed.",
);
/// Facts.
pub static BATCH_DURATION: Histogram<1> = Histogram::of_times(
    "ordinal_follower_batch_duration_seconds",
    &["follower"],
    OF_CALLS,
    "Time in which a follower applied one batch, with its commit.",
);
/// Dead letters.
pub static DEAD_LETTERS: Observed<2> = Observed::number(
    "ordinal_dead_letters",
    &["follower", "state"],
    "Dead letters of a follower: POISON, BEHIND (one of the same subject), RETRY (put back); of \
     each no more than 100 are counted.",
);
/// Dead letters.
pub static DEAD_LETTER_AGE: Observed<2> = Observed::time(
    "ordinal_dead_letter_oldest_seconds",
    &["follower", "state"],
    "How long the oldest dead letter of the state has waited; 0 without one.",
);
/// Redis.
pub static STREAM_ENTRIES: Level<1> = Level::new(
    "ordinal_stream_entries",
    &["source"],
    "Entries of the Redis streams of an origin, over the shards that this process relays; absent \
     while Redis does not answer.",
);

/// Deadlines.
pub static DEADLINES_DUE: Observed<1> = Observed::number(
    "ordinal_deadlines_due",
    &["kind"],
    "Deadlines that have passed and still wait for their order; no more than 1000 are counted.",
);
/// Deadlines.
pub static DEADLINE_LATE: Observed<1> = Observed::time(
    "ordinal_deadline_oldest_due_seconds",
    &["kind"],
    "How long ago the oldest waiting deadline passed; 0 if none waits.",
);
/// Deadlines.
pub static DEADLINE_LATENESS: Histogram<1> = Histogram::of_times(
    "ordinal_deadline_lateness_seconds",
    &["kind"],
    OF_WAITS,
    "Time between a deadline and the command that it sent.",
);

/// Orders.
pub static ORDERS: Observed<1> = Observed::number(
    "ordinal_orders",
    &["status"],
    "Orders by status, of the list; no more than 10000 of a status are counted.",
);
/// Orders.
pub static CONFIRMATION: Histogram<0> = Histogram::of_times(
    "ordinal_order_confirmation_seconds",
    &[],
    OF_WAITS,
    "Time between an order's placement and its confirmation.",
);
/// Returns.
pub static RETURNS_WAITING: Observed<0> = Observed::number(
    "ordinal_returns_waiting",
    &[],
    "Returns that wait for their judgement; no more than 10000 are counted.",
);
/// Returns.
pub static RETURN_WAIT: Observed<0> = Observed::time(
    "ordinal_return_oldest_wait_seconds",
    &[],
    "How long ago the oldest return was requested that nobody has judged; 0 without one.",
);
/// Stock.
pub static RESERVATIONS: Counter<1> = Counter::new(
    "ordinal_reservations_total",
    &["outcome"],
    "Answers of stock to orders, by the fact that it published.",
);
/// Messages.
pub static MESSAGES_TRIED: Counter<2> = Counter::new(
    "ordinal_messages_total",
    &["channel", "outcome"],
    "Tries to deliver a message: delivered, deferred, in_doubt, unavailable, permanent.",
);
/// Messages.
pub static MESSAGES_FAILED: Counter<1> = Counter::new(
    "ordinal_messages_failed_total",
    &["channel"],
    "Messages that are not tried any more, until an operator sends them again.",
);
/// Messages.
pub static MESSAGES: Observed<1> = Observed::number(
    "ordinal_messages",
    &["state"],
    "Messages that have still to be sent (queued); no more than 10000 are counted.",
);
/// Money.
pub static LEDGER_ENTRIES: Counter<1> = Counter::new(
    "ordinal_ledger_requests_total",
    &["outcome"],
    "Requests to the book of money: done, repeated, refused.",
);
/// Money.
pub static LEDGER_BATCH: Histogram<0> = Histogram::of_times(
    "ordinal_ledger_batch_duration_seconds",
    &[],
    OF_CALLS,
    "Time of one transaction of the book of money, which has what waited.",
);
