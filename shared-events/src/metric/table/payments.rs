//! Providers of payments.

use super::bounds::OF_CALLS;
use crate::metric::{Counter, Histogram, Observed};

/// Operations.
pub static PSP_OPERATIONS: Counter<3> = Counter::new(
    "ordinal_psp_operations_total",
    &["psp", "kind", "outcome"],
    "What became of operations at payment providers: succeeded, declined, reversed, expired, \
     pending (the provider, or the customer, works on it), stuck (a person must look).",
)
.at_most(512);
/// Calls of providers.
pub static PSP_CALLS: Histogram<3> = Histogram::of_times(
    "ordinal_psp_call_duration_seconds",
    &["psp", "call", "outcome"],
    OF_CALLS,
    "Time of a call of a payment provider, or of a question (find, look), by its answer: done, \
     pending, declined, refused, nothing (it knows nothing of it), unknown (none came in time).",
)
.at_most(512);
/// Stuck operations.
pub static PSP_STUCK: Observed<0> = Observed::number(
    "ordinal_psp_operations_stuck",
    &[],
    "Operations at payment providers that wait for a person; counted up to 1,000.",
);
/// Stuck operations.
pub static PSP_STUCK_AGE: Observed<0> = Observed::time(
    "ordinal_psp_stuck_oldest_seconds",
    &[],
    "How long ago that operation was last called, or opened where it never was, that waits longest \
     for a person; 0 without one.",
);
/// Breakers of providers.
pub static PSP_BREAKER_OPEN: Observed<1> = Observed::number(
    "ordinal_psp_breaker_state",
    &["psp"],
    "1 since five calls of a payment provider in a row came to nothing, until it answers, else 0.",
);
/// Webhooks.
pub static PSP_WEBHOOKS: Counter<2> = Counter::new(
    "ordinal_psp_webhooks_total",
    &["psp", "outcome"],
    "Webhooks of payment providers: stored, known (sent before), ignored (nothing of payments), \
     not_understood, refused (not genuine), not_stored (the database is away).",
)
.at_most(128);
/// Webhooks.
pub static PSP_WEBHOOKS_WAITING: Observed<1> = Observed::number(
    "ordinal_psp_webhooks",
    &["state"],
    "Webhooks of payment providers that wait for what they are about (waiting), or for a person \
     (parked); counted up to 1,000.",
);
/// Disputes.
pub static DISPUTES_OPEN: Observed<0> = Observed::number(
    "ordinal_disputes_open",
    &[],
    "Disputes of customers that are not judged; counted up to 1,000.",
);
