//! Who may write, and the one task per database that does.
//! Never here: SQL.

mod batch; // what is written together: positions and hashes are assigned here
mod commit; // commits batches and answers everybody who waits
mod lease; // the belief that our shards are ours
mod ownership; // which shards are ours, and where the others are
mod recover; // an outcome that is not known, a database that was set back
mod request; // what waits to be written, and how much of it goes together
mod share; // how nodes share the shards out; pure
mod sharing; // takes the shards that are to be ours, hands over the others
mod tail; // what was committed last, for readers that are level
mod take_over; // takes all shards when a lone writer starts
mod writer; // the task, and all that it knows

pub use ownership::{Ownership, ShardState};
pub use request::{EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX};
pub use tail::LostTail;

pub(crate) use request::{REQUESTS_WAITING_MAX, Request};
pub(crate) use tail::Tail;
pub(crate) use take_over::{complete, take_over};
pub(crate) use writer::{Wires, Writer};
