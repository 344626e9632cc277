//! The gRPC edge: the only module that knows the proto types. A call is parsed, answered by an
//! order or a read model, and rendered; one table turns every refusal into a status.
//! Never here: rules about orders, waiting without a deadline, personal data in errors.

mod caller; // the caller's identity and trace context
mod changes; // pages of order changes, shared by all watches
pub mod commands; // OrderService: one file per command, request and response
mod deadline; // how long a call may wait
mod diff; // the fields that differ between two versions of an order
mod diff_payment; // of the money of an order
mod edge; // OrdersEdge: the state behind both services
mod execute; // ExecuteCommands: a stream of commands
mod history; // an order's events, for callers who may see them
mod journal; // JournalService
mod names; // finds an order by its number or its external id
mod orders; // how every command is executed
mod page; // page tokens
pub mod parse; // proto → domain; reports every invalid field
mod reads; // GetOrder, ListOrders, ListReturns and WatchOrders
pub mod render; // domain → proto
pub mod status; // every refusal → one gRPC status
mod tail; // server streams over the journal
mod watch; // WatchOrders: changes that match a filter

pub use deadline::{DEADLINE_DEFAULT, DEADLINE_MAX, NOT_FOUND_DELAY, timeout};
pub use edge::{EndsBy, Nodes, OrdersEdge, Payers, Slots, Unanswered};
pub use history::recorded_event;

/// Messages, clients and servers of `ordinal.orders.v1`, and `google.type.Money`.
pub mod proto {
    pub use super::generated::google::r#type::Money;
    pub use super::generated::ordinal::orders::v1::*;
}

/// `google.rpc.Status`, the wire form of a status.
pub use generated::google::rpc::Status as Refused;

/// The descriptors of `ordinal.orders.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
}
