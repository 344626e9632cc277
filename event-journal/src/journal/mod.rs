//! The public handle: open, append, load, read, wait, operate.

mod append; // appends events to a stream
mod append_health; // how recent appends went
mod check; // checks everything that the journal holds
mod failure; // why nothing can be appended, for health
mod handle; // the handle, and what its clones share
mod heads; // where the shards end
mod history; // which history it has, and whether a reader remembers another
mod keys; // what its databases store beside the events
mod load; // single streams
mod open; // opens one, wherever it is
mod operate; // what operators read and do
mod read; // reads in the order of positions
mod unique; // which stream has which key
mod wait; // waits for events and for owners of shards
mod watch; // polls which history the journal has

pub use handle::Journal;
pub use history::Incarnation;
pub use open::{
    migrate_postgres, open_memory, open_memory_on, open_postgres, open_spread, open_sqlite,
};
