//! The contenders.

pub mod axum_edge; // the framework behind plain handlers of HTTP
pub mod books; // ours of money, and what one would write by hand
pub mod client; // the clients of gRPC
pub mod cluster; // ours complete: a process per role
pub mod collector; // a collector of spans, willing or not
pub mod driven; // engine and callers in a process of their own
pub mod engine; // ours: journal and actors, in this process
pub mod framework; // the same aggregate on cqrs-es and postgres-es
pub mod http; // a client of HTTP
pub mod issuer; // an OIDC provider
pub mod one_process; // ours complete, in one process
pub mod server; // either of them behind gRPC, in a process of its own
pub mod telemetry; // what looks at an engine
