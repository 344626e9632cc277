//! Tests of messages, on both databases and through real servers.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod composing;
mod contacts; // of corrected orders
mod delivery;
mod endpoints; // several webhook endpoints
mod interrupted; // the ledger or a server fails half-way
#[path = "../../../tests/shared/on_both.rs"]
mod on_both; // a test for each database
#[path = "../../../tests/shared/ports.rs"]
mod ports;
mod published; // facts about sent messages
mod resends; // resend requests of operators
mod retries; // how long and how often
mod set_back; // unsent messages after the journal was set back
mod sms; // through a gateway
mod support;
mod templates; // texts of the shop's own
mod tries; // the log of a message's tries
mod webhooks; // verified by the Standard Webhooks libraries
