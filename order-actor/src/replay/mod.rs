//! The journal read in order: as a source of events for followers, and each event together with
//! the order before and after it.
//! Never here: SQL (see `journal`), what a reader makes of it.

mod source; // the journal seen as a source of events
mod unfold; // an event, and the order before and after it

pub use source::JournalSource;
pub(crate) use source::{away_or_broken, read};
pub use unfold::{Step, Unfold, UnfoldError};
