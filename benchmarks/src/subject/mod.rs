//! The contenders.

pub mod client; // the clients of gRPC
pub mod cluster; // ours complete: a process per role
pub mod engine; // ours: journal and actors, in this process
pub mod framework; // the same aggregate on cqrs-es and postgres-es
pub mod server; // either of them behind gRPC, in a process of its own
