//! What the crate promises.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod adapters; // Stripe's and Razorpay's, against the simulator over a socket
mod book; // the simulator's book sums, whatever happens
mod over_http; // the simulator's own calls, and its webhooks
mod payouts; // what is paid out to sellers
#[path = "../../../tests/shared/ports.rs"]
mod ports;
mod simulator; // what scripts do
mod support;
mod webhooks; // what is taken as genuine, and what it tells
