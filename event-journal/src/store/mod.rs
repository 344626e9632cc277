//! The port of databases, and the databases: Postgres, SQLite, memory. All keep the same laws.
//!
//! A [`Store`] is one database: who may write ([`Store`]), reads of events ([`Reads`]) and records
//! beside them ([`Notes`]); several nodes need a [`SharedStore`]. Never here: a rule, except for
//! the fence in every append.

mod chronicle; // the history of the journal, as a database records it
mod head; // the head of a shard, and what is written to it
mod memory; // a store in memory, for simulation
mod nodes; // the port: what several nodes need
mod port; // the port: what a database must do
mod postgres; // the production store, in the table of postgres-es
mod rows; // reads rows of either database
mod sqlite; // the embedded default
mod tables; // the tables, by migrations

pub use chronicle::Chronicle;
pub use memory::{Fault, MemoryDisk};
pub use postgres::load_standard;

pub(crate) use chronicle::Beginning;
pub(crate) use head::{
    ArchivedStreams, Batch, Claim, Claimed, CommitError, Fence, Head, Loaded, News, Range,
};
pub(crate) use memory::MemoryStore;
#[cfg(test)]
pub(crate) use nodes::NodeView;
pub(crate) use nodes::{ShardView, SharedStore, View};
pub(crate) use port::{Notes, Reads, Renewal, Store};
pub(crate) use postgres::{
    Charter, Copied, Instant, PostgresStore, READ, Rows, Territory, charter, check,
    check_schema_name, join_journal, wrong,
};
pub(crate) use rows::{
    Fields, NOTE_ACTION, archived, chained, head, impossible, stored, unavailable, with_action,
};
pub(crate) use sqlite::SqliteStore;
pub(crate) use tables::migrator;
