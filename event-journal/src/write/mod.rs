//! Who may write, and the one task per database that does.
//! Never here: SQL.

mod batch; // a batch: positions and hashes are assigned here
mod commit; // commits batches and answers their callers
mod lease; // our leases, and how long we may trust them
mod ownership; // which shards are ours, and which nodes have the others
mod recover; // recovers after an unknown outcome, or when a database was set back
mod request; // requests that wait, and how many go into one batch
mod share; // distributes the shards over the nodes; pure
mod sharing; // takes the shards that are to be ours, hands over the others
mod tail; // the last committed events, for readers that are caught up
mod take_over; // takes all shards when a lone writer starts
mod writer; // the task, and its state

pub use ownership::{Ownership, ShardState};
pub use request::{EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX};
pub use tail::LostTail;

pub(crate) use request::{REQUESTS_WAITING_MAX, Request};
pub(crate) use tail::Tail;
pub(crate) use take_over::{complete, take_over};
pub(crate) use writer::{Channels, Writer};
