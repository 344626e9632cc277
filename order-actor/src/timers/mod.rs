//! Deadlines that pass. They derive from an order's state ([`crate::domain::deadline`]), their
//! durable list is a read model, and the alarm wakes the orders whose deadline has passed.
//! Never here: what a deadline means.

mod alarm; // wakes orders whose deadline passed; survives restarts

pub use alarm::Alarm;
