//! One persistent actor per order, rebuilt from a journal of events.
//!
//! In reading order: [`domain`] decides what may happen; [`journal`] remembers what did; [`actor`]
//! gives every order one mailbox; [`replay`] reads the journal in order for [`projections`] (read
//! models), [`outbox`] (facts) and [`timers`]; [`inbox`] brings in what other services answered;
//! [`grpc`] is the edge.

pub mod domain;
pub mod journal;
pub mod limits;
pub mod record;
pub mod timers;
pub mod upcast;

pub mod actor;
pub mod replay;

pub mod inbox;
pub mod outbox;
pub mod projections;

pub mod grpc;
