//! What must hold of messages, on both databases and through real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod composing;
mod delivery;
mod interrupted; // when the ledger or a server fails half-way
mod published; // what others are told of sent messages
mod resends; // what somebody has sent again
mod retries; // how long, how often, and when no more
mod set_back; // what is not sent after the journal was set back
mod support;
mod webhooks; // by the libraries that others verify them with
