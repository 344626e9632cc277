//! Providers of payments.

use crate::metric::{Counter, Observed};

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
