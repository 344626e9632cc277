//! What must hold of messages, on both databases and through real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod composing;
mod delivery;
mod interrupted; // when the ledger or a server fails half-way
mod set_back; // what is not sent after the journal was set back
mod support;
