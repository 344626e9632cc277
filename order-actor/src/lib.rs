//! One persistent actor per order, rebuilt from a journal of events.
//!
//! In reading order: [`domain`] decides what may happen; [`journal`] remembers what did; [`actor`]
//! gives every order one mailbox; [`replay`] reads the journal in order for [`projections`] (read
//! models), [`outbox`] (facts) and [`timers`]; [`inbox`] brings in what other services answered;
//! [`grpc`] is the edge.

pub mod clock;
pub mod domain;
#[allow(
    clippy::disallowed_methods,
    reason = "the journal becomes a crate, with its own clock and tasks"
)]
pub mod journal;
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
