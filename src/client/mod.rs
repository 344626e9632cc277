//! The client of an engine that verbs and tools use: calls, failures and output.
//!
//! Never here: a verb, rules about orders, or a database.

mod connection; // flags: the address, the caller, the timeout
mod failure; // failures and exit codes
mod grpc; // calls by the protos' descriptors
mod health; // whether a process serves
mod history; // the history of an order, page by page
pub mod lag; // the followers' lag
pub(crate) mod order_name; // how the command line names an order
pub(crate) mod output; // tables for people, JSON for programs
pub(crate) mod parse; // parses flags into the protos' JSON
pub(crate) mod payment; // flags of payment plans
pub(crate) mod prices; // flags of charges, discounts and taxes
pub(crate) mod progress; // progress bars
pub(crate) mod resumed; // streams over more than one connection
pub(crate) mod returns; // flags of returns
pub(crate) mod show; // renders messages for people
pub(crate) mod transfer; // a transfer of money, as the command line names it

pub use connection::{Caller, Connection};
pub use failure::{Failure, code_name};
pub use grpc::{Client, protos};
pub(crate) use health::serves;
pub use history::history as order_history;
pub use output::Output;
pub use show::{code, history as show_history, status, text};
