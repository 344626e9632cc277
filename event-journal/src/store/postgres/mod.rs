//! The store of production: the table of postgres-es, with shards, positions and hashes beside it.

mod announce; // says to other processes that something was appended
mod append; // the append: the fence and the events in one statement
mod charter; // what the database remembers of the journal that it holds shards of
mod claim; // takes all shards for one writer
mod copy; // events as a binary COPY gives them
mod listen; // what processes tell each other by notifications
mod loads; // streams that are read together
mod nodes; // several nodes, each with its own shards
mod notes; // what is remembered beside the events
mod pool; // pools of sessions
mod process; // whether a process of this machine is gone
mod read; // what is read of the events
mod renew; // renews the leases of our shards
mod session; // sessions, and whether the database is the one it should be
mod standard; // tables of other tools
mod store; // who may write, and what is written
mod territory; // which part of which journal it holds, or should
mod types; // how Postgres writes what others write otherwise
mod watched; // leases of others, as they were seen first

pub use standard::load_standard;

pub(crate) use charter::{charter, join_journal};
pub(crate) use copy::{Copied, Rows};
pub(crate) use read::READ;
pub(crate) use session::{PostgresStore, legal};
pub(crate) use territory::{Charter, Territory, check, wrong};
pub(crate) use types::Instant;
