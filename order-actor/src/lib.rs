//! One persistent actor per order, rebuilt from a journal of events.
//!
//! [`domain`] decides what may happen.

pub mod domain;
