//! One journal over several databases, each with some of the shards.

mod charter; // whether the given databases are the right ones
mod database; // one of them: its store, its writer, whether it answers
mod mover; // who moves shards, recorded with each step
mod relocation; // moves shards from one to another, step by step
mod transfer; // copies events and records from one database to another

pub use mover::Mover;
pub use relocation::{Holding, Moved, Relocation, holding};

pub(crate) use charter::{Opened, migrate, open as open_databases};
pub(crate) use database::{ANSWERS_WITHIN, Database, Taken, cursors_of, publish_heads, within};
