//! One persistent actor per order, rebuilt from a journal of events.
//!
//! In reading order: [`domain`] decides what may happen; [`journal`], a crate of its own, remembers
//! what did, and [`record`] says how an event stands there; [`actor`]
//! gives every order one mailbox; [`replay`] reads the journal in order for [`projections`] (read
//! models), [`outbox`] (facts) and [`timers`]; [`inbox`] brings in what other services answered;
//! [`grpc`] is the edge.

pub use event_journal as journal;

pub mod aggregate; // an order as cqrs-es asks for it
pub mod clock;
pub mod domain;
pub mod limits;
pub mod record;
mod tasks;
pub mod upcast;

pub mod actor;
pub mod replay;

pub mod inbox;
pub mod outbox;
pub mod projections;
pub mod timers;

pub mod grpc;
