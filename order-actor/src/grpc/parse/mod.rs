//! Proto → values. Each function parses a request completely or reports every invalid field.
//! Commands are parsed in `grpc/commands`, one file each, with the same [`Form`].
//! Never echoes a value: it may be personal data.

mod amounts; // discounts, taxes, charges, and what the client keeps beside an order
mod corrections; // contact and addresses by a field mask
mod edits; // lines that an edit changes
mod form; // fields that many requests share
mod lines; // lines, units and money
mod names; // names of an order, and notes
mod parcels; // parcels by their ids
mod payments; // payment plans, and states of money
mod people; // addresses and contacts
mod places; // journal positions and page sizes
mod reads; // read requests
mod returns; // units of returns, and how they are named

pub(super) use form::Form;
pub use form::{Options, Parsed};
pub(super) use lines::Units;
pub use names::OrderRef;
pub use people::contact_field;
pub use reads::{
    AsOf, OrdersPage, Reading, Recorded, ReturnsPage, Watching, diff_order, get_order,
    list_order_events, list_orders, list_returns, read_events, watch_orders,
};
pub use service_edge::{Violation, Violations};
