//! Journal → other services: events, published as facts. Only journaled events are published.
//! Never here: rules about orders, or the transport of facts.

mod edits; // facts of edits
mod payments; // facts about money
mod returns; // facts of returns
mod source; // the journal as a source of facts
mod translate; // private event → public facts; pure, exhaustive

pub use source::{FactIds, OrderFacts, facts_of};
pub use translate::translate;
