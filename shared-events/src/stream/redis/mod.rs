//! Redis Streams: a window of the latest facts, one stream per shard, for readers that read faster
//! there than from the source itself. A window, not a store: facts missing in it are read from the
//! source. And a cache of single values, with a store behind it.
//!
//! Entry ids are journal positions, so Redis itself refuses a fact twice or out of order, and a
//! relay resumes after the stream's last id. Each entry names the position of the fact before it,
//! so a reader detects a gap when it meets one. Cursors are stored by the reader.
//! Never here: what a fact means.

mod cache; // a cache of values, with a store behind it
mod connection; // to one server or a cluster, with password and TLS
mod entries; // a run of entries, and whether it continues from the reader's position
mod entry; // fact ↔ fields of a stream entry; pure
mod limit; // counts calls of callers, for all processes
mod relay; // source → streams
mod retention; // what the streams drop
mod source; // streams → reader, with the log's source behind them
mod state; // what a reader knows of the streams

pub use cache::{Cache, CachePlace, Cached};
pub use connection::{Redis, RedisError, RedisOptions};
pub use entries::page;
pub use limit::{Ask, Gcra, RateLimit, Taken};
pub use relay::Relay;
pub use retention::{Keep, retain};
pub use source::RedisSource;
