//! The tests of this crate, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod actors;
mod cqrs;
mod deadlines;
mod domain;
mod ends;
mod grpc_edge;
mod grpc_parse;
mod grpc_render;
mod grpc_status;
mod postgres;
mod upcast;
