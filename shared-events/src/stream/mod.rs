//! How what is said travels: one loop with one cursor, for every reader of every log.
//!
//! [`follow`] reads after the cursor and hands over a batch; effect and cursor commit together,
//! so a crash anywhere repeats a batch but never half of one. Nothing is skipped automatically.
//! Never here: what a fact means.

mod actions; // what operators did, written with its effect
mod backoff; // how long to wait before trying again; pure
mod begin; // transactions that leave nothing behind when they are given up
mod beside; // a thread that no load holds up
mod cursor; // how far a named follower got in each shard
mod database; // one store, Postgres or SQLite, behind one pool
mod dead_letter; // where poison goes and how it comes back
mod follow; // the loop
mod handler; // port: apply a batch, or say which item is to blame
mod history; // which history a log tells, and what stood at a place of it
mod installation; // which SQLite files belong together
mod lease; // which of several processes follows under a name
mod migrations; // tables, from a folder that was compiled in
mod outbox; // what a service tells, written with its effect, read as a source
mod pause; // followers that an operator stopped for a while
mod places; // where a follower has been
pub mod redis; // a window of the latest facts, for many readers
mod session; // what a session with Postgres is told, and what a server must be
mod source; // port: items after a cursor, in order
mod transactional; // the sink that commits effect and cursor together

pub use actions::{ActionsAsked, AskedBy, OperatorAction, TARGET_KINDS, Verb};
pub use backoff::Backoff;
pub use begin::{begin, begin_immediate};
pub use beside::spawn_beside;
pub use cursor::{CursorError, Cursors, Scope};
pub use database::{Database, DatabaseError, Dialect, POSTGRES_CONNECTIONS, Tx};
pub use dead_letter::{
    DeadLetter, DeadLetterError, DeadLetterState, DeadLetters, LETTERS_COUNTED, LettersWaiting,
};
pub use follow::{FollowError, FollowStatus, Sink, everything, follow, follow_paced};
pub use handler::{Blame, Handler};
pub use history::{Comparison, Finding, History, Place};
pub use installation::{Contents, Installation};
pub use lease::Candidacy;
pub use migrations::migrations;
pub use outbox::{NewFact, Outbox};
pub use pause::Pause;
pub use session::{Session, inspect};
pub use source::{Batch, Item, Source, SourceError};
pub use transactional::Transactional;
