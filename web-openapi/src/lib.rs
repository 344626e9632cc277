//! The OpenAPI 3.1 document of the REST routes, made from the protos, and the page that shows it.
//!
//! - [`document`] takes the routes as `web-edge` serves them, and fields and comments from their
//!   descriptors: what is not served is not in the document, and nothing is written by hand.
//! - [`Pages`] answers the document itself and Swagger UI, which is part of the binary: neither the
//!   build nor a browser fetches anything from elsewhere.
//!
//! Never here: a service by its name, a connection, or how a call is translated.

mod answers; // what is answered, by status
mod comments; // what stands above a method, a message, a field
mod document; // the whole
mod errors; // refusals
mod json; // objects in the order in which they were written
mod operation; // a route
mod pages; // what a browser asks for
mod parameters; // path and query
mod policy; // who may call
mod schema; // messages and enums
mod well_known; // values with a form of their own

pub use document::{About, document};
pub use errors::Refusal;
pub use pages::{Asset, Pages};

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Two operations have one name.
    #[error("{operation}: its name is there twice")]
    Twice {
        /// The later one.
        operation: String,
    },
    /// A reason is sent with a status that has no response.
    #[error("{code}: no response is described for {status}")]
    Status {
        /// The reason.
        code: String,
        /// The status of HTTP.
        status: u16,
    },
    /// An example is of an operation that there is not.
    #[error("{operation}: there is an example for it, but no such operation")]
    Example {
        /// The operation.
        operation: String,
    },
    /// The examples are no JSON object, or the document could not be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
}
