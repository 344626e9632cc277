//! The shared parts of all gRPC edges, so that every service behaves alike towards callers.
//!
//! - [`Refused`] and [`Violations`]: refusals of calls. The only place that makes an `ErrorInfo`.
//! - [`page`]: sizes and tokens of pages.
//! - [`time`]: instants and positions in protos.
//! - [`traceparent`]: the trace that a call belongs to.
//! - [`feed`]: a service's published facts as a gRPC stream, and a reader of such a stream.
//!
//! A crate of its own, and not part of `shared-events`: tonic and prost take half a minute to
//! build, beside which journals, followers and the contract can be built. Never here: what a
//! service does.

mod about; // which order a call is about
pub mod feed;
pub mod page;
mod refusal; // a reason and its message → a status
pub mod time;
mod trace; // the trace that a call belongs to
mod violation; // invalid fields
mod wire; // the way to another process

pub use about::About;
pub use refusal::{
    DOMAIN, OVERLOADED_DELAY, Refused, STREAM_READ_WITHIN, UNAVAILABLE_DELAY, archived, is_fault,
    reason_of, status_code,
};
pub use trace::{traceparent, tracestate};
pub use violation::{Violation, Violations, one_of, parsed, violation};
pub use wire::Wire;
