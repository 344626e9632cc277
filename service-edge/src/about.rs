use std::sync::{Arc, OnceLock};

use shared_events::contract::OrderId;

/// Which order a call is about: an extension of its request. Whoever reads the request says it, and
/// whoever writes a line about the call asks. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct About(Arc<OnceLock<OrderId>>);

impl About {
    /// It is about this order.
    pub fn set(&self, order_id: OrderId) {
        let _ = self.0.set(order_id);
    }

    /// The order, once somebody has said it.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        self.0.get().copied()
    }
}
