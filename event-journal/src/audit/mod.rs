//! Follows the hash chain and names every damage; reports whether the databases still refuse to
//! forget.
//! Never here: any change of what it reads.

mod database; // a complete database: in one pass where possible
mod guards; // the triggers by which a database refuses to forget
mod links; // one shard's chain of hashes, event by event
mod report; // what an audit finds
mod sweep; // whether all shards are sound, in one pass
mod walk; // reads shards in the order of their positions, files included

pub use guards::{postgres_guards, sqlite_guards};
pub use report::{ArchiveDamage, Audit, Damage, DamageKind, End, Unchecked};
