//! Reads the journal in order: as a source of events for followers, and each event with the order
//! before and after it.
//! Never here: SQL (see `journal`), or what a reader does with the events.

mod order_replay; // the order before and after each event
mod source; // the journal as a source of events

pub use order_replay::{OrderReplay, ReplayError};
pub use source::JournalSource;

pub use crate::record::Step;
pub(crate) use source::{oldest_after, read, source_error};
