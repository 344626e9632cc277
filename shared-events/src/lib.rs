//! The contract between Ordinal's services, and the protocol by which facts are followed.
//!
//! Admission test: *would two services deployed at different versions have to agree on this for
//! the stream to be safe?* If not, it does not live here.
//!
//! - [`contract`]: the content. Ids, money, quantities, facts. Pure.
//! - [`stream`]: the protocol. One loop, its two ports, cursors and dead letters.
//! - [`chance`]: where ids and random numbers come from.
//! - [`traces`]: what one call causes, in every process: the context that commands and facts carry.
//! - [`metric`]: what each process counts, and under which name.

pub mod chance;
pub mod contract;
pub mod metric;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod stream;
pub mod traces;
