//! The command line: every verb is a gRPC client of an engine, like any other.
//!
//! Never here: rules about orders, or a database.

mod args; // the verbs and their flags
mod client; // gRPC by the descriptors of the protos
mod config; // arguments, environment and files, put together
mod failure; // why not, and the exit code that says so
mod operations; // followers, dead letters, read models, quarantine
mod orders; // orders, returns and their journal
mod output; // tables for people, JSON for programs
mod parse; // text of flags as protos spell it
mod run; // from the command line to an exit code
mod settings; // those of serve, shown and checked
mod show; // messages as people read them
mod status; // what operators look at first
mod stock; // products and messages
mod usage; // what is wrong with a command line
mod verbs; // in groups, and whether they ask an engine

/// How logs are written: `json`, or lines for people where it is something else.
pub const LOG_FORMAT: &str = "ORDINAL_LOG_FORMAT";

pub use args::{Caller, Connection};
pub use client::Client;
pub use failure::{Failure, code_name};
pub use orders::history as order_history;
pub use output::Output;
pub use parse::{duration, listen};
pub use run::run;
pub use show::{code, history as show_history, status, text};
