//! Every metric: its name, labels and help, once. Where each is counted, or observed, its name in
//! this table is used. `docs/metrics.md` is made of it.
//!
//! Names are as Prometheus has them: base units, `_total` for counters. Labels are closed sets.

mod bounds; // bounds of buckets
mod edge; // the process and its edge
mod followers; // followers, timers, and what the shop does
mod orders; // orders, the journal and its shards
mod payments; // providers of payments

pub use edge::*;
pub use followers::*;
pub use orders::*;
pub use payments::*;

use super::Metric;

/// All, in the order of the page.
pub static ALL: &[&dyn Metric] = &[
    &BUILD_INFO,
    &SERVING,
    &HEALTH_REASONS,
    &SAMPLE_AGE,
    &CPU,
    &MEMORY,
    &FILES,
    &STARTED,
    &RPC_DURATION,
    &HTTP_DURATION,
    &SPANS_DROPPED,
    &CALLS_REFUSED,
    &AUTH_DENIED,
    &JWKS_FETCHES,
    &JWKS_AGE,
    &RATE_LIMITED,
    &RATE_LIMIT_DEGRADED,
    &BREAKER_OPEN,
    &LIVE_CONNECTIONS,
    &CERTIFICATE_EXPIRES,
    &COMMANDS,
    &COMMAND_DURATION,
    &ORDERS_AWAKE,
    &ORDER_WAKES,
    &ORDER_REPLAY,
    &ACTOR_STOPS,
    &APPEND_DURATION,
    &APPEND_EVENTS,
    &APPENDS_REFUSED,
    &EVENTS,
    &QUARANTINED,
    &JOURNAL_SHARDS,
    &HEAD_POSITION,
    &SHARD_OWNED,
    &SHARD_EPOCH,
    &HANDOVER,
    &LEASE_AGE,
    &LEASE_SELF_STOP,
    &LAG_POSITIONS,
    &LAG_SECONDS,
    &FOLLOWER_STILL,
    &FOLLOWER_STOPPED,
    &FACTS,
    &BATCH_DURATION,
    &DEAD_LETTERS,
    &DEAD_LETTER_AGE,
    &STREAM_ENTRIES,
    &DEADLINES_DUE,
    &DEADLINE_LATE,
    &DEADLINE_LATENESS,
    &ORDERS,
    &CONFIRMATION,
    &RETURNS_WAITING,
    &RETURN_WAIT,
    &RESERVATIONS,
    &MESSAGES_TRIED,
    &MESSAGES_FAILED,
    &MESSAGES,
    &LEDGER_ENTRIES,
    &LEDGER_BATCH,
    &PSP_OPERATIONS,
    &PSP_CALLS,
    &PSP_STUCK,
    &PSP_STUCK_AGE,
    &PSP_BREAKER_OPEN,
    &PSP_WEBHOOKS,
    &PSP_WEBHOOKS_WAITING,
    &DISPUTES_OPEN,
];
