//! What two services of different versions have to agree on, and the loop that carries it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod asyncapi;
mod contract;
mod follow;
mod installation;
mod redis_streams;
mod set_back;
mod subjects; // of what was kept before there were any
mod values;
