//! The source of truth: what happened to every order, in the order it was written.
//!
//! A [`Journal`] is a handle on one store, or on several that hold some of the shards each: a writer
//! task per store that groups what many actors append, and readers. Laws, whatever the store:
//!
//! - one writer per shard, fenced in the append itself: a superseded one appends nothing and lets go;
//! - positions are gapless per shard, sequences per order; readers assert it and stop otherwise;
//! - a batch is all or nothing, and a conflicting order fails alone, never its batch;
//! - events are never changed, and a hash chain tells if they were.
//!
//! Never here: what an event means (see `domain`, `record`), telling anyone (see `outbox`).

mod actions; // what operators did to it and its shards
mod archive; // what has left the table, and how it leaves
mod audit; // follows the chain and names every damage
mod chain; // the hash over everything that was written
mod charter; // what each database remembers of the journal
mod chronicle; // which history it tells, and whether somebody remembers another
mod copied; // events as a binary COPY gives them
mod error; // why there is no new version, with stable codes
mod event; // what is appended and what is read back
mod fingerprints; // what a request said, as a hash under a key
mod guards; // whether the databases still refuse to forget
mod handle; // the face: append, load, read after, wait for changes
mod loads; // orders that are read together
mod map; // which database holds which shards
mod memory; // the same laws for simulation
mod options; // how a journal is opened
mod ownership; // which shards are ours, and where the others are
mod part; // one database: its store, its writer, whether it answers
mod postgres; // the store of production, in the table of postgres-es
mod process; // whether a process of this machine is gone
mod pulse; // how appends have gone lately
mod relocate; // moves shards from one database to another
mod shard; // who may write: taking over, keeping the lease
mod share; // how nodes share the shards out; pure
mod sqlite; // the same laws on the embedded default
mod store; // port: what a database must do, and nothing more
mod sweep; // whether all shards are as they should be, in one pass
mod tail; // what was committed last, for readers that are level
mod veil; // positions as customers are shown them
mod writer; // groups what many actors append into one commit

pub use archive::{
    Archive, ArchiveError, Archived, Archiving, ArchivingError, Leaving, Left, Manifest,
};
pub use audit::{ArchiveDamage, Audit, Damage, DamageKind, End, Unchecked};
pub use chain::{GENESIS, chain_hash};
pub use chronicle::{Chronicle, Incarnation};
pub use error::JournalError;
pub use event::{Appended, ChainedEvent, NewEvent, Quarantined, StoredEvent};
pub use fingerprints::Fingerprints;
pub use guards::{Guards, postgres_guards, sqlite_guards};
pub use handle::{
    Journal, migrate_postgres, open_memory, open_memory_on, open_postgres, open_spread, open_sqlite,
};
pub use map::{ShardMap, ShardSet};
pub use memory::{Fault, MemoryDisk};
pub use options::{Node, Options};
pub use ownership::{Ownership, ShardState};
pub use postgres::load_standard;
pub use relocate::{Holding, Moved, Relocation, holding};
pub use store::AGGREGATE_TYPE;
pub use veil::Veil;
pub use writer::{EVENT_BYTES_MAX, EVENTS_PER_ORDER_MAX, LostTail};
