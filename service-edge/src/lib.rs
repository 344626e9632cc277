//! What the gRPC edges of all services share, so that a caller meets one manner in all of them.
//!
//! - [`Refused`] and [`Violations`]: how a call is refused. The only place that makes an `ErrorInfo`.
//! - [`page`]: sizes and tokens of pages.
//! - [`time`]: instants and positions as protos have them.
//! - [`feed`]: what a service publishes, as a gRPC stream, and the reader of such a stream.
//!
//! A crate of its own, and no part of `shared-events`: tonic and prost are half a minute of building
//! that journals, followers and the contract can be built beside. Never here: what a service does.

pub mod feed;
pub mod page;
mod refusal; // a reason and its words → a status
pub mod time;
mod violation; // fields at fault

pub use refusal::{AWAY_DELAY, DOMAIN, OVERLOADED_DELAY, Refused, reason_of};
pub use violation::{Violation, Violations, violation};
