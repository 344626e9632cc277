//! An append-only journal of events: what happened to every stream, in the order it was written.
//!
//! A [`Journal`] is a handle on one store, or on several that hold some of the shards each: a
//! writer task per store that groups what many callers append, and readers. It knows ids, versions
//! and bytes; what an event means is its caller's. Laws, whatever the store:
//!
//! - one writer per shard, fenced in the append itself: a superseded one appends nothing;
//! - positions are gapless per shard, sequences per stream; readers assert it and stop otherwise;
//! - a batch is all or nothing, and a conflicting stream fails alone, never its batch;
//! - events are never changed, and a hash chain tells if they were.
//!
//! Never here: what an event means, telling anyone. In reading order: nothing here knows what
//! stands below it.

mod chain; // the hash over everything that was written
mod error; // why there is no new version, with stable codes
mod event; // what is appended and what is read back
mod id; // whose events they are

mod files; // files of events that left a journal
mod keys; // hashes and veils under keys that the journal keeps
mod options; // how a journal is opened
mod shards; // which shards there are, and which database holds which

mod store; // the port of databases, and the databases

mod write; // who may write, and the task that does

mod archive; // what has left the table, and how it leaves
mod audit; // follows the chain and names every damage

mod spread; // one journal over several databases

mod journal; // the face: open, append, load, read, wait

pub use archive::{Archiving, ArchivingError, Leaving, Left};
pub use audit::{
    ArchiveDamage, Audit, Damage, DamageKind, End, Guards, Unchecked, postgres_guards,
    sqlite_guards,
};
pub use chain::{GENESIS, chain_hash};
pub use error::JournalError;
pub use event::{Appended, ChainedEvent, NewEvent, Quarantined, StoredEvent};
pub use files::{Archive, ArchiveError, Archived, Manifest};
pub use id::{AGGREGATE_TYPE, StreamId};
pub use journal::{
    Incarnation, Journal, migrate_postgres, open_memory, open_memory_on, open_postgres,
    open_spread, open_sqlite,
};
pub use keys::{Fingerprints, PositionCipher};
pub use options::{Node, Options};
pub use shards::{ShardMap, ShardSet};
pub use spread::{Holding, Moved, Relocation, holding};
pub use store::{Chronicle, Fault, MemoryDisk, load_standard};
pub use write::{EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX, LostTail, Ownership, ShardState};
