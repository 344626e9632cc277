//! Payments: pure, and on both databases with a provider that follows a script.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod again; // what is said twice
mod crashes;
mod damage;
mod domain;
mod dry; // what would be, and then is
mod follower;
mod market; // sellers and their book
#[path = "../../../tests/shared/on_both.rs"]
mod on_both; // a test for each database
mod payouts;
mod restored; // a journal, or payments, that continue from an earlier state
mod runner;
mod scripted; // a provider that does what a script says
mod settlements; // reports of what providers paid out
mod support;
mod told; // webhooks that fail, are overtaken, or wait for a person
mod traces;
mod webhooks;
