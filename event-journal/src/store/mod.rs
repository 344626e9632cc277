//! The port of databases, and the databases: Postgres, SQLite, memory. All keep the same laws.
//!
//! A [`Store`] is one database: who may write ([`Store`]), what is read of the events ([`Reads`])
//! and what is remembered beside them ([`Notes`]); several nodes need a [`SharedStore`]. Never
//! here: a rule, but for the fence in every append.

mod chronicle; // which history a database tells
mod head; // where a shard stands, and what is written to it
mod memory; // the same laws for simulation
mod nodes; // the port: what several nodes need
mod port; // the port: what a database must do
mod postgres; // the store of production, in the table of postgres-es
mod rows; // what rows of either database say
mod sqlite; // the same laws on the embedded default
mod tables; // what migrations make

pub use chronicle::Chronicle;
pub use memory::{Fault, MemoryDisk};
pub use postgres::load_standard;

pub(crate) use chronicle::Beginning;
pub(crate) use head::{
    ArchivedStreams, Batch, Claim, Claimed, CommitError, Fence, Head, Loaded, News, Range,
};
pub(crate) use memory::MemoryStore;
#[cfg(test)]
pub(crate) use nodes::NodeSeen;
pub(crate) use nodes::{ShardSeen, SharedStore, Sight};
pub(crate) use port::{Notes, Reads, Renewal, Store};
pub(crate) use postgres::{
    Charter, Copied, Instant, PostgresStore, READ, Rows, Territory, charter, check, join_journal,
    legal, wrong,
};
pub(crate) use rows::{
    Fields, NOTE_ACTION, archived, away, chained, head, impossible, stored, with_action,
};
pub(crate) use sqlite::SqliteStore;
pub(crate) use tables::migrator;
