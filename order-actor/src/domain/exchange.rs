use serde::{Deserialize, Serialize};
use shared_events::contract::{OrderId, ReturnId};

/// The return whose goods an order replaces. The engine keeps the link and shows it; it does not
/// compare the two orders, and their money is separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeOf {
    /// The order that was delivered before.
    pub order_id: OrderId,
    /// Its return.
    pub return_id: ReturnId,
}
