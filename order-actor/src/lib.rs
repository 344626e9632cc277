//! One persistent actor per order, rebuilt from a journal of events.
//!
//! In reading order: [`domain`] decides commands; [`journal`], a separate crate, stores events, and
//! [`record`] defines their stored form; [`actor`] gives every order one mailbox; [`replay`] reads
//! the journal in order for [`projections`] (read models), [`outbox`] (facts) and [`timers`];
//! [`inbox`] turns facts of other services into commands; [`grpc`] is the edge.

pub use event_journal as journal;

pub mod aggregate; // the cqrs-es traits for orders
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
