//! Archives old events: moves them from the table to files in a directory, which the journal's
//! database names. Laws:
//!
//! - no event is removed from the table before its file was written, synced and read back
//!   unchanged;
//! - a shard's files and its table are one chain: the table continues from the last file's last
//!   hash;
//! - a stream is in the table with all its versions, or in files with all of them.
//!
//! Never here: which streams may be archived (the caller decides), and any change of an event.

mod cold; // reads archived events
mod error; // why archiving failed
mod run; // a run over a Postgres journal: begins, reports how far it can go
mod select; // finds the streams that can be archived
mod swap; // swaps in a new table without the archived events
mod write; // writes the selected events into files, and reads them back

pub use error::ArchivingError;
pub use run::Archiving;
pub use select::Selection;
pub use swap::ArchivedCounts;

pub(crate) use cold::ArchiveReader;
