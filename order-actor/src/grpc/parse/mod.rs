//! Proto → values. Each function takes a request apart and gives either the whole of it or every
//! field at fault. Commands are taken apart in `grpc/commands`, one file each, by the same [`Form`].
//! Never echoes a value: it may be personal data.

mod form; // what every request is made of
mod lines; // lines, units and money
mod people; // where an order goes and how its customer is reached
mod places; // places in the journal, and pages
mod reads; // requests that change nothing

pub(super) use form::Form;
pub use form::{Options, Parsed};
pub(super) use lines::Units;
pub use people::contact_field;
pub use reads::{
    AsOf, OrdersPage, Reading, Watching, diff_order, get_order, list_order_events, list_orders,
    read_events, watch_orders,
};
pub use service_edge::{Violation, Violations};
