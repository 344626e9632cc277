//! The production store: the table of postgres-es, with shards, positions and hashes beside it.

mod announce; // announces appends to other processes
mod append; // the append: the fence and the events in one statement
mod charter; // the charter: what the database records of its journal
mod claim; // takes all shards for one writer
mod copy; // events as a binary COPY gives them
mod listen; // notifications between processes
mod loads; // batches reads of single streams
mod nodes; // several nodes, each with its own shards
mod notes; // records beside the events
mod pool; // pools of sessions
mod process; // whether a process of this machine has ended
mod read; // reads of the events
mod renew; // renews the leases of our shards
mod session; // sessions, and whether the database is the expected one
mod standard; // event tables of other tools
mod store; // who may write, and what is written
mod territory; // which part of which journal it holds, or should hold
mod types; // Postgres types
mod watched; // leases of others, and how long they have not changed

pub use standard::load_standard;

pub(crate) use charter::{charter, join_journal};
pub(crate) use copy::{Copied, Rows};
pub(crate) use read::READ;
pub(crate) use session::{PostgresStore, check_schema_name};
pub(crate) use territory::{Charter, Territory, check, wrong};
pub(crate) use types::Instant;
