//! An append-only journal of events: what happened to every stream, in the order it was written.
//!
//! A [`Journal`] is a handle on one store, or on several with some of the shards each: a writer
//! task per store that groups the appends of many callers, and readers. It knows ids, versions and
//! bytes; the caller knows what an event means. Laws, whatever the store:
//!
//! - one writer per shard, fenced in the append itself: a superseded one appends nothing;
//! - positions are gapless per shard, sequences per stream; readers assert it and stop otherwise;
//! - a batch is all or nothing, and a conflicting stream fails alone, never its batch;
//! - events are never changed, and a hash chain shows if they were.
//!
//! Never here: what an event means, publishing. In reading order: no module uses one below it.

mod chain; // the hash chain over all events
mod error; // why nothing was appended or read, with stable codes
mod event; // events as they are appended and read back
mod id; // stream ids
mod shared_event; // an event that several readers share, decoded once

mod files; // files of archived events
mod keys; // fingerprints and the position cipher, under keys that the journal stores
mod options; // how a journal is opened
mod shards; // which shards there are, and which database holds which

mod store; // the port of databases, and the databases

mod write; // who may write, and the task that does

mod archive; // moves old events from the table to files
mod audit; // follows the chain and names every damage

mod spread; // one journal over several databases

mod journal; // the public handle: open, append, load, read, wait

pub use archive::{ArchivedCounts, Archiving, ArchivingError, Selection};
pub use audit::{
    ArchiveDamage, Audit, Damage, DamageKind, End, Unchecked, postgres_guards, sqlite_guards,
};
pub use chain::{GENESIS, chain_hash};
pub use error::JournalError;
pub use event::{Appended, ChainedEvent, NewEvent, Quarantined, StoredEvent, UniqueKey};
pub use files::{Archive, ArchiveError, Archived, Manifest};
pub use id::{AGGREGATE_TYPE, StreamId};
pub use journal::{
    Incarnation, Journal, migrate_postgres, open_memory, open_memory_on, open_postgres,
    open_spread, open_sqlite,
};
pub use keys::{Fingerprints, PositionCipher};
pub use options::{Node, Options};
pub use shards::{ShardMap, ShardSet};
pub use shared_event::SharedEvent;
pub use spread::{Holding, Moved, Mover, Relocation, holding};
pub use store::{Chronicle, Fault, MemoryDisk, load_standard};
pub use write::{EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX, LostTail, Ownership, ShardState};
