//! Calls by HTTP with JSON, carried out by the routes that the protos name.
//! Never here: a service by its name.

mod accepted; // what is taken and not complete yet
mod answer; // answers of one message
mod call; // a call by HTTP as a gRPC call
mod conditions; // what headers of HTTP say about a command
pub(crate) mod connect; // unary calls of the Connect protocol
mod cursor; // positions of a stream, as one text
mod exact; // JSON that would not be read as it is written
mod frames; // gRPC messages of a body
mod json; // JSON → message → JSON
mod lines; // commands by lines
mod place; // fields of messages and their values
mod prefer; // how long a caller waits
mod query; // parameters of an address → JSON
mod request; // path, parameters and body → one message
mod routes; // which method a path means
mod rpc; // what is known about a method
mod said; // which fields are headers
mod stream; // answers of many messages
mod template; // path templates of google.api.http
mod version; // the version that an answer has and a command requires

pub use call::{RouteOf, UnreadBody};
pub(crate) use call::{Spelling, check_bare, check_form, passed, translate};
pub(crate) use routes::Matched;
pub use routes::{Route, Routes, RoutesError};
pub use rpc::is_position;

#[cfg(test)]
mod tests;
