//! One persistent actor per order, rebuilt from a journal of events.
//!
//! [`domain`] decides what may happen; [`journal`] remembers what did.

pub mod domain;
pub mod journal;
pub mod limits;
pub mod record;
