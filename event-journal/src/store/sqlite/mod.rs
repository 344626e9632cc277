//! The embedded default: one file, locked by the one process that writes to it.

mod fields; // SQLite columns
mod file; // the file, and its lock
mod notes; // records beside the events
mod read; // reads of the events
mod store; // who may write, and what is written

pub(crate) use file::SqliteStore;
