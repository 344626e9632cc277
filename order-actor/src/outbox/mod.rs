//! Journal → world: what happened, told as facts. Nothing is told that is not in the journal.
//! Never here: rules about orders, or how facts travel.

mod source; // the journal seen as a source of facts
mod translate; // private event → public facts; pure, exhaustive

pub use source::{FactIds, OrderFacts, facts_of};
pub use translate::translate;
