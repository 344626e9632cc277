//! The command line: every verb is a gRPC client of an engine like any other, or starts a tool.
//! Nobody imports a verb.
//!
//! Never here: rules about orders.

mod archive; // what is old leaves the journal's table for files
mod args; // the verbs and their flags
mod backup; // the files of an engine, copied while it works
mod config; // arguments, environment and files, put together
mod groups; // how verbs are shown, and whether they ask an engine
mod health; // whether a process can serve
mod journal; // the databases of a journal, and shards moved between them
mod migrate; // tables brought up to date
mod operations; // followers, dead letters, read models, quarantine
mod orders; // orders, returns and their journal
pub mod reasons; // every stable reason, with what to do about it
mod run; // from the command line to an exit code
mod serve; // an engine that runs until it is told to stop
mod settings; // those of serve, shown and checked
mod status; // what operators look at first
mod stock; // products and messages
#[cfg(test)]
mod toy; // a fourth service in one file, found everywhere
mod usage; // what is wrong with a command line

/// How logs are written: `json`, or lines for people where it is something else.
pub const LOG_FORMAT: &str = "ORDINAL_LOG_FORMAT";

pub use run::run;
