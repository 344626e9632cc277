//! Tools that try an engine: load, faults, a whole cluster, a demo. They may know everything; verbs
//! alone know them, and nothing in production stands on them.

pub(crate) mod chaos; // everything goes wrong, on purpose
pub mod cluster; // all processes on this machine, with servers of their own
pub(crate) mod demo; // every ending of an order, on a temporary engine
pub(crate) mod load; // drives an engine with real invoices
