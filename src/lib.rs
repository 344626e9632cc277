//! Ordinal, an actor-based, event-sourced order engine: the composition of all its parts.
//!
//! [`engine`] runs them in one process; [`verbs`] is the command line, an ordinary gRPC client.
//! Never here: rules. Orders, stock and messages each have a crate of their own.

#![expect(clippy::print_stdout, reason = "this is the command line")]
#![expect(
    unreachable_pub,
    reason = "pub marks what a module offers the others; only what is named here is exported"
)]

// Each module may use those above it; `tests/it/layers.rs` checks this.
mod tasks; // spawns tasks

pub mod logs; // lines of the log

mod flags; // parsers of flag values

mod edge; // the gRPC server as a stack

pub mod client; // calls an engine and renders its answers

pub mod engine; // one process of the engine, with the parts of its role

mod verify; // checks all data against the laws

#[allow(clippy::disallowed_methods, reason = "tools bring time, chance and tasks of their own")]
mod lab; // load, faults, a cluster, a demo

pub mod verbs; // the command line

pub use edge::access; // authentication and roles
pub use edge::policy; // who may call a method
pub use edge::tls; // TLS for callers and to other processes
pub use edge::{Slots, take_descriptors};
pub use engine::serve_routes;
pub use engine::streams; // flags of the Redis streams
pub use lab::cluster; // a cluster on this machine
