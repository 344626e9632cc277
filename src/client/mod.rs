//! An engine's client, as every verb and tool uses it: calls, what came of them, and how it is shown.
//!
//! Never here: a verb, rules about orders, or a database.

mod connection; // how an engine is reached, and as whom
mod failure; // why not, and the exit code that says so
mod grpc; // calls by the descriptors of the protos
mod health; // whether a process serves
mod history; // of an order, page by page
pub mod lag; // how far followers are behind
pub(crate) mod output; // tables for people, JSON for programs
pub(crate) mod parse; // text of flags as protos spell it
pub(crate) mod progress; // of long work
pub(crate) mod show; // messages as people read them

pub use connection::{Caller, Connection};
pub use failure::{Failure, code_name};
pub use grpc::Client;
pub(crate) use health::serves;
pub use history::history as order_history;
pub use output::Output;
pub use show::{code, history as show_history, status, text};
