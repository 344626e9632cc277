//! The laws of the book: pure, and on both databases.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod book;
mod damage;
mod domain;
#[path = "../../../tests/shared/on_both.rs"]
mod on_both; // a test for each database
mod payments;
mod settlements; // lines of reports of providers
mod support;
mod takeover;
