//! Ordinal, an actor-based, event-sourced order engine: all parts put together.
//!
//! [`engine`] runs them in one process; [`verbs`] is the command line, a gRPC client like any other.
//! Never here: rules. Orders, stock and messages each have a crate of their own.

#![expect(clippy::print_stdout, reason = "this is the command line")]
#![expect(
    unreachable_pub,
    reason = "pub says what a module shows the others; only what is named here leaves the crate"
)]

// In the order in which they know each other; `tests/it/layers.rs` keeps the arrows.
mod flags; // what flags are read with

mod edge; // the gRPC server as a stack

pub mod client; // calls an engine, and shows what it answers

pub mod engine; // one process of the engine, with the parts of its role

mod verify; // every law over everything

mod lab; // load, faults, a cluster, a demo

pub mod verbs; // the command line

pub use edge::access; // who may call what
pub use edge::{Slots, take_descriptors};
pub use engine::serve_routes;
pub use engine::streams; // the Redis streams, by flags
pub use lab::cluster; // all processes on this machine
