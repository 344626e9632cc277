//! Files of events that left a journal: consecutive positions of one shard as JSON lines in gzip,
//! and a manifest beside each that says what is in it (docs/archive.md).
//! Never here: a database. A directory is all that is needed to read one.

mod directory; // finds and reads what is in files
mod file; // events as lines in blocks, written once
mod manifest; // what is said of a file

pub use directory::{Archive, ArchiveError};
pub use manifest::{Archived, Manifest};

pub(crate) use file::{FileWriter, sync_folders};
