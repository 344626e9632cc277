//! Redis Streams: a window of the latest facts, one stream per shard, for whoever reads faster
//! there than from the source itself. A window, not a store: what it lost or never had is read
//! from the source. And a cache of single values, whose store is asked for what it lacks.
//!
//! Entry ids are journal positions, so Redis itself refuses to take a fact twice or out of order,
//! and a relay goes on behind the stream's last id. Each entry names the position of the fact
//! before it, so a reader knows a gap when it meets one. Cursors are the reader's own affair.
//! Never here: what a fact means.

mod cache; // values of a store, for a while
mod connection; // to one server or a cluster, with password and TLS
mod entries; // a run of entries, and whether it goes on from where the reader is
mod entry; // fact ↔ fields of a stream entry; pure
mod relay; // source → streams
mod retention; // what the streams let go of
mod source; // streams → reader, with the source behind them

pub use cache::{Cache, CachePlace, Cached};
pub use connection::{Redis, RedisError, RedisOptions};
pub use entries::page;
pub use relay::Relay;
pub use retention::{Keep, retain};
pub use source::RedisSource;
