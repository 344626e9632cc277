//! How facts and events are followed: one loop with one cursor, for every reader of every log.
//!
//! [`follow`] reads after the cursor and hands over a batch; effect and cursor commit together,
//! so a crash at any point repeats a batch but never half of one. Nothing is skipped automatically.
//! Never here: what a fact means.

mod actions; // what operators did, written with its effect
mod back; // how a follower goes back
mod backoff; // how long to wait before trying again; pure
mod begin; // transactions that leave nothing open when they are cancelled
mod created; // whether a database was ever created
mod cursor; // a named follower's position in each shard
mod database; // one store, Postgres or SQLite, behind one pool
mod dead_letter; // poison items and how they are retried
mod follow; // the loop
mod guards; // whether a database still refuses to forget
mod handler; // port: apply a batch, or name the item at fault
mod history; // the history of a log, and places that readers remember
mod installation; // which SQLite files belong together
mod keyed; // the rows of many keys, in one statement
mod lease; // which of several processes runs a follower
mod lease_thread; // a thread of its own for lease renewals
mod migrated; // whether a snapshot's tables are those of this program
mod migrations; // migrations, from a folder that was compiled in
mod outbox; // a service's published facts, written with their effect, read as a source
mod pause; // followers that an operator paused
mod places; // earlier positions of a follower
mod readers; // which readers a log knows, and by which database
pub mod redis; // a window of the latest facts, for many readers
pub mod row; // columns as values, rows as JSON
mod session; // settings of Postgres sessions, and requirements on the server
mod source; // port: items after a cursor, in order
mod tasks; // the only place that begins a task, and why one was not completed
mod transactional; // the sink that commits effect and cursor together
mod verb; // what an operator may do
mod without_contact; // facts for readers that reach nobody

pub use actions::{ActionsAsked, AskedBy, OperatorAction};
pub use backoff::Backoff;
pub use begin::{begin, begin_immediate};
pub use created::{has_tables, was_beside};
pub use cursor::{CursorError, Cursors, Scope};
pub use database::{Database, DatabaseError, Dialect, POSTGRES_CONNECTIONS, Tx};
pub use dead_letter::{
    DeadLetter, DeadLetterError, DeadLetterState, DeadLetters, LETTERS_COUNTED, LettersWaiting,
};
pub use follow::{
    Busy, FollowError, FollowStatus, Pace, Pacing, Sink, everything, follow, follow_paced,
};
pub use guards::{Guards, postgres_guards, sqlite_guards};
pub use handler::{Blame, Handler};
pub use history::{Comparison, Finding, History, Place};
pub use installation::{Contents, Installation};
pub use lease::Candidacy;
pub use lease_thread::spawn_for_lease;
pub use migrations::{migrations, of_streams};
pub use outbox::{NewFact, Outbox};
pub use pause::Pause;
pub use readers::{Reader, made_anew};
pub use session::{Session, inspect};
pub use source::{Batch, Item, Source, SourceError};
pub use tasks::{Unfinished, spawn};
pub use transactional::Transactional;
pub use verb::{TARGET_KINDS, Verb};
pub use without_contact::WithoutContact;
