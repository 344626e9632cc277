//! The only SQL about payments.
//! Never here: what happens to a payment.

mod actions; // where customers act
mod attempts; // what attempts pay with, as hashes
mod cases; // the payments of orders, locked and written
mod chain; // the history, in order and chained
mod counts; // how many wait
mod disputes; // disputes, for operators
mod doubts; // orders that the journal may have lost
mod heard; // what orders said, and where
mod list; // payments by what is asked for
mod open; // one case in its transaction
mod operations; // what is to be done at providers
mod payout_runs; // which sellers are gone through, and who owes too much
mod payouts; // what is paid out, and what is next
mod resolutions; // what people said
mod settlement_lines; // lines of reports of providers
mod settlements; // reports of providers, and what they have not named
mod summary; // payments as lists have them
mod todo; // what an event means for the runner
mod tokens; // what customers pay with
mod webhooks; // what providers told

pub use actions::actions;
pub(crate) use actions::{forget_old_actions, keep_action};
pub(crate) use attempts::{PaysWith, keep_attempt, paid_otherwise};
pub(crate) use cases::look_again;
pub use cases::{case, cases_after, cases_due};
pub(crate) use cases::{lock, write, write_beside};
pub use chain::{
    EVENT_SHARDS, StoredEvent, event_heads, events_after, events_of, newest, shard_of,
};
pub use counts::{COUNTED, Count, count};
pub use disputes::{OpenDispute, disputed_since, open_disputes};
pub(crate) use doubts::{doubt, doubted, doubted_shards, is_any_doubted};
pub(crate) use heard::{
    Doubted, Heard, Place, doubt_heard, doubted_heard, forget_doubted, keep_heard, unheard,
};
pub use list::{PaymentFilter, cases_of, payment, payments, referred};
pub(crate) use open::{OpenCase, Origins};
pub use operations::{
    OperationRow, operation, operations_after, operations_due, operations_of, stuck, stuck_longest,
};
pub(crate) use operations::{claim, trace_of};
pub use payout_runs::{Debt, PayoutRun, debts, payout_run};
pub(crate) use payout_runs::{add_run, claim_run, next_seller, note_debt, owed_by, runs_due};
pub use payouts::{
    PayoutFilter, PayoutRow, payout, payouts, payouts_due, payouts_referred, stuck_payouts,
};
pub(crate) use payouts::{
    add_payout, came_back, claim_payout, held_after, held_before, locked_payout, payout_told,
    wake_payout, write_payout,
};
pub(crate) use resolutions::{Of, keep_resolution, was_said};
pub use settlement_lines::{LineFilter, SettlementLine, settlement_line, settlement_lines};
pub(crate) use settlement_lines::{add_lines, known_lines, named, resolve_line};
pub use settlements::{
    Settlement, SettlementCounts, Unsettled, settlement, settlements, unsettled,
};
pub(crate) use settlements::{imported, keep_settlement, not_due, payments_named, take_reports};
pub use summary::PaymentSummary;
pub(crate) use summary::summaries;
pub(crate) use tokens::{forget_old_tokens, keep_token, token};
pub(crate) use webhooks::{
    NOT_UNDERSTOOD, NOT_UNDERSTOOD_NOTE, Outcome, UNREADABLE_NOTE, about, keep, park_unheard,
    settle, webhooks_due,
};
pub use webhooks::{
    WEBHOOK_SHARDS, Webhook, parked_longest, webhook, webhook_heads, webhooks, webhooks_after,
};

use shared_events::stream::row::{instant, json, number, optional_instant, word};
