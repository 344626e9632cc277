//! What has left the table of events: files in a directory, which the journal's database names.
//!
//! A file holds consecutive positions of one shard, as JSON lines in gzip, and a manifest beside it
//! says what is in it (docs/archive.md). Laws:
//!
//! - nothing leaves the table that was not written, synced, read back and found unchanged;
//! - a shard's files and its table are one chain: the last hash of one is where the next goes on;
//! - an order is in the table with all its versions, or in files with all of them.
//!
//! Never here: which orders may leave (who runs it says so), and any change of an event.

mod cold; // what the journal reads where its table has nothing
mod directory; // finds and reads what is in files
mod file; // events as lines in blocks, written once
mod leave; // a run over a Postgres journal
mod manifest; // what is said of a file

pub(super) use cold::Cold;
pub use directory::{Archive, ArchiveError};
pub use leave::{Archiving, ArchivingError, Leaving, Left};
pub use manifest::{Archived, Manifest};
