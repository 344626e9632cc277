//! The edge: the only place that knows proto. Each call is parsed, asked of an order or of a read
//! model, and rendered; every refusal becomes a status by one table.
//! Never here: rules about orders, waiting without a deadline, personal data in errors.

mod caller; // who asks, by when, and with which trace
mod changes; // what watches show, read once for all
pub mod commands; // OrderService: each command as it comes and as it is answered
mod deadline; // how long a call may wait
mod diff; // what differs between two versions of an order
mod edge; // what the services are made of
mod execute; // commands by the stream
mod history; // an order's events, for those who may see them
mod journal; // JournalService
mod orders; // how every command is carried out
mod page; // page sizes and page tokens
pub mod parse; // proto → domain, naming every field at fault
mod reads; // orders as they are shown, listed and watched
pub mod render; // domain → proto
pub mod status; // every refusal → one status
mod tail; // streams of the journal, with a live end
mod watch; // changes of the orders that fit

pub use deadline::{DEADLINE_DEFAULT, DEADLINE_MAX, HIDDEN_UNTIL, timeout};
pub use edge::{Nodes, OrdersEdge, Slots, Unanswered};
pub use history::recorded_event;

/// Every message and service of `ordinal.orders.v1`, client and server, and `google.type.Money`.
pub mod proto {
    pub use super::generated::google::r#type::Money;
    pub use super::generated::ordinal::orders::v1::*;
}

/// A status on the wire.
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
