//! What must hold of stock, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod cache;
mod conservation;
mod edge;
mod follower;
mod movements;
mod support;
