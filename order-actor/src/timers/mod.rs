//! Time as an input. Deadlines derive from an order's state ([`crate::domain::deadline`]), their
//! durable list is a read model, and the alarm wakes the orders whose deadline has passed.
//! Never here: what a deadline means.

mod alarm; // wakes orders whose deadline passed; survives restarts
mod clock; // the only file that asks what time it is

pub use alarm::Alarm;
pub use clock::{Clock, ManualClock, SystemClock};
