//! Tools that try an engine: load, chaos, a complete cluster, a demo. They may use everything; only
//! verbs use them, and nothing in production depends on them.

pub(crate) mod chaos; // injects faults into a cluster and checks what is left
pub mod cluster; // all processes on this machine, with servers of their own
pub(crate) mod demo; // shows every ending of an order, on a temporary engine
pub(crate) mod load; // drives an engine with real invoices
