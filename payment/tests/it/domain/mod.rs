//! The rules of payments, without a database.

mod laws; // whatever comes in whatever order
mod partitions; // sums of parts
mod payouts; // what sellers are paid
mod refunds; // money that goes back
mod schedule; // calls and questions
mod stories; // one order from end to end
pub mod support;
mod theirs; // what others do at the provider
mod unheard; // what orders had said that the journal lost
mod vanished; // orders that the journal lost
