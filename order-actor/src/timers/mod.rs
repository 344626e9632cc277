//! Timers. Deadlines derive from an order's state ([`crate::domain::deadline`]), their durable list
//! is a read model, and the alarm sends a command to each order whose deadline has passed.
//! Never here: what a deadline means.

mod alarm; // sends the commands of passed deadlines; survives restarts

pub use alarm::Alarm;
