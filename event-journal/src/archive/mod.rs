//! What has left the table of events: files in a directory, which the journal's database names.
//! Laws:
//!
//! - nothing leaves the table that was not written, synced, read back and found unchanged;
//! - a shard's files and its table are one chain: the last hash of one is where the next goes on;
//! - a stream is in the table with all its versions, or in files with all of them.
//!
//! Never here: which streams may leave (who runs it says so), and any change of an event.

mod cold; // what the journal reads where its table has nothing
mod error; // why events did not leave
mod run; // a run over a Postgres journal: begins, says how far it can go
mod select; // finds the streams that can leave
mod swap; // puts a new table, without what leaves, in the place of the old one
mod write; // writes what leaves into files, and reads it back

pub use error::ArchivingError;
pub use run::Archiving;
pub use select::Leaving;
pub use swap::Left;

pub(crate) use cold::Cold;
