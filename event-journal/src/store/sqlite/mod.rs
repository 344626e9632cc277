//! The embedded default: one file, locked by the one process that writes to it.

mod fields; // how SQLite writes what others write otherwise
mod file; // the file, and its lock
mod notes; // what is remembered beside the events
mod read; // what is read of the events
mod store; // who may write, and what is written

pub(crate) use file::SqliteStore;
