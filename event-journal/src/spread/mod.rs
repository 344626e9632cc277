//! One journal over several databases, each with some of the shards.

mod carry; // what a move carries from one database to the other
mod charter; // whether the databases at hand are the right ones
mod database; // one of them: its store, its writer, whether it answers
mod relocation; // moves shards from one to another, step by step

pub use relocation::{Holding, Moved, Relocation, holding};

pub(crate) use charter::{Opened, migrate, open as open_databases};
pub(crate) use database::{ANSWERS_WITHIN, Database, Taken, cursors_of, learn, within};
