//! The contract between services of different versions, and the loop that follows it.
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

mod asyncapi;
mod contract;
mod follow;
mod installation;
mod limit;
mod names;
mod outbox;
mod payments;
#[path = "../../../tests/shared/ports.rs"]
mod ports;
mod readers;
mod redis_streams;
mod set_back;
mod subjects; // dead letters from before there were subjects
mod values;
