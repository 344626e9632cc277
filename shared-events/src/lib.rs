//! The contract between Ordinal's services, and the protocol that carries it.
//!
//! Admission test: *would two services deployed at different versions have to agree on this for
//! the stream to be safe?* If not, it does not live here.
//!
//! - [`contract`]: what is said. Ids, money, quantities, facts. Pure.
//! - [`stream`]: how it travels. One loop, its two ports, cursors and dead letters.
//! - [`chance`]: where ids and random numbers come from.

pub mod chance;
pub mod contract;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod stream;
