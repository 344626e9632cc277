//! The face: what somebody with a journal can do.

mod append; // appends events to a stream
mod check; // checks everything that it holds
mod handle; // the handle, and what its clones share
mod heads; // where the shards end
mod history; // which history it tells, and whether somebody remembers another
mod kept; // what its databases keep beside the events
mod load; // single streams
mod open; // opens one, wherever it is
mod operate; // what operators ask and do
mod pulse; // how appends have gone lately
mod read; // reads in the order of positions
mod trouble; // why nothing can be appended, for health
mod wait; // waits for what others do
mod watch; // looks again and again which history it tells

pub use handle::Journal;
pub use history::Incarnation;
pub use open::{
    migrate_postgres, open_memory, open_memory_on, open_postgres, open_spread, open_sqlite,
};
