use serde::{Deserialize, Serialize};

use super::{Contact, CustomerId, Money, OrderId, OrderNames, OrderNumber};

/// Why an order, or units of it, were cancelled. A closed list with stable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancelReason {
    /// The customer asked.
    CustomerRequest,
    /// At least one line could not be reserved.
    InsufficientStock,
    /// It was not confirmed in time.
    SlaTimeout,
    /// The payment was not received.
    PaymentFailed,
    /// Operators decided.
    Ops,
}

impl CancelReason {
    /// The stable name, such as `CUSTOMER_REQUEST`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CustomerRequest => "CUSTOMER_REQUEST",
            Self::InsufficientStock => "INSUFFICIENT_STOCK",
            Self::SlaTimeout => "SLA_TIMEOUT",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::Ops => "OPS",
        }
    }
}

/// What happens to returned units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// Back on the shelf.
    Restock,
    /// Lost or damaged; stock stays as it is.
    WriteOff,
}

/// The part that every fact about an order has, so that a reader needs no memory of earlier facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHeader {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub customer_id: CustomerId,
    /// How the customer is reached; personal data.
    pub contact: Contact,
    /// What the customer pays for the order as placed.
    pub total: Money,
    /// Names that the client gave it; absent where it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Box<OrderNames>>,
}

impl OrderHeader {
    /// The number by which people know the order: the client's, or else the one of its id.
    #[must_use]
    pub fn order_number(&self) -> String {
        OrderNumber::shown(self.names.as_deref(), self.order_id)
    }
}
