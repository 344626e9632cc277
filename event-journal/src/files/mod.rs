//! Files of archived events: consecutive positions of one shard as JSON lines in gzip, and a
//! manifest beside each that describes it (docs/archive.md).
//! Never here: a database. A directory is all that is needed to read one.

mod directory; // finds and reads events in files
mod file; // events as lines in compressed blocks, written once
mod manifest; // the description of a file

pub use directory::{Archive, ArchiveError};
pub use manifest::{Archived, Manifest};

pub(crate) use file::{FileWriter, sync_folders};
