//! HTTP with JSON in front of gRPC, on the same port; also gRPC-Web, unary calls of Connect, and
//! watches on a WebSocket.
//!
//! A call by HTTP is another spelling of a gRPC call: [`WebEdge`] stands in front of the stack that
//! answers gRPC and writes it anew, so that access, limits and forwarding are in one place.
//!
//! - [`Routes`]: the routes, read from the `google.api.http` options of the methods.
//! - [`Hosts`]: the names under which a process answers. The guard refuses what a web page of
//!   somebody else could send.
//! - [`Problem`]: a refusal as RFC 9457 has it, made from the table of reasons.
//!
//! Never here: a service by its name, or who may call what.

mod front; // tells gRPC from HTTP with JSON
mod grpc_web; // frames of gRPC over any HTTP
mod guard; // what a web page of somebody else could send is refused
mod live; // several watches on one WebSocket
mod problem; // refusals
mod rest; // calls by the routes of the protos
mod trace; // the trace of a call

pub use front::{Pages, Settings, Subject, Web, WebEdge, is_grpc};
pub use guard::{HEAD_BYTES_MAX, Hosts, head_bytes};
pub use live::Socket;
pub use problem::{Problem, statuses_of};
pub use rest::{Route, RouteOf, Routes, RoutesError, UnreadBody, is_position};
pub use trace::{TraceId, trace_id};
