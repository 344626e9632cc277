//! The laws of stock, on both databases.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod backorder_laws;
mod backorders;
mod cache;
mod conservation;
mod edge;
mod edits;
mod follower;
mod holders;
mod location_laws;
mod locations;
mod migrations;
mod movements;
#[path = "../../../tests/shared/on_both.rs"]
mod on_both; // a test for each database
#[path = "../../../tests/shared/ports.rs"]
mod ports;
mod reservation;
mod support;
mod withdrawal;
