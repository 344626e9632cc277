//! Ordinal, an actor-based, event-sourced order engine: all parts put together.
//!
//! [`engine`] runs them in one process; [`cli`] is the command line, a gRPC client like any other.
//! Never here: rules. Orders, stock and messages each have a crate of their own.

#![expect(clippy::print_stdout, reason = "this is the command line")]
#![expect(
    unreachable_pub,
    reason = "pub says what a module shows the others; only what is named here leaves the crate"
)]

pub mod access; // who may call what
mod actions; // what operators did, as it is listed
mod address; // of processes, as people write them
mod admin; // what operators see and may do
mod archive; // what is old leaves the journal's table for files
mod backup; // the files of an engine, copied while it works
mod chaos; // everything goes wrong, on purpose
pub mod cli; // the command line
pub mod cluster; // all processes on this machine, with servers of their own
mod databases; // where they are, by flags
mod demo; // every ending of an order, on a temporary engine
mod edge; // the gRPC server as a stack
pub mod engine; // one process of the engine, with the parts of its role
mod followers; // their names
mod forward; // calls that another process answers
mod journal; // the databases of a journal, and shards moved between them
pub mod lag; // how far followers are behind
mod load; // drives an engine with real invoices
mod messages; // how messages leave, by flags
mod peers; // the other processes of a cluster
mod progress; // of long work
pub mod reasons; // every stable reason, with what to do about it
mod refusal; // statuses of this package's own services
mod secrets; // files that hold them
mod serve; // an engine that runs until it is told to stop
pub mod streams; // the Redis streams, by flags
mod tokens; // drawn where none were given
mod upkeep; // tables brought up to date, health asked for
mod verify; // every law over everything

pub use edge::{Turns, serve_routes, take_descriptors};
