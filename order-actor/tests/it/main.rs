//! The tests of this crate, in one binary.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and use their own time, randomness and tasks"
)]

mod actors;
mod answers_again;
mod cqrs;
mod deadlines;
mod domain;
mod extremes;
mod grpc_corrections;
mod grpc_edge;
mod grpc_edits;
mod grpc_parse;
mod grpc_payments;
mod grpc_render;
mod grpc_status;
mod lists;
mod money_answers;
#[path = "../../../tests/shared/on_both.rs"]
mod on_both; // a test for each database
mod postgres;
mod stock_answers;
mod traced;
mod upcast;
