use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Disposition, Money, OrderId, Quantity, ReservationId,
    ReturnId, SellerId, ShipmentId, Sku, Timestamp,
};

use super::Address;

/// Who asks, as proved at the edge or known inside; never taken from the command itself. Parsed
/// once: a customer is an id and compared as one, however it was spelt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "subject", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum By {
    /// A customer, for own orders only.
    Customer(CustomerId),
    /// Another backend service, by its name.
    Service(String),
    /// An operator, by name.
    Ops(String),
    /// A part of the engine, by its name.
    Engine(String),
}

/// The roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// A customer, for own orders only.
    Customer,
    /// Another backend service, for any customer.
    Service,
    /// An operator.
    Ops,
    /// The engine itself: stock reactions and timers.
    Engine,
}

impl Role {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Service => "SERVICE",
            Self::Ops => "OPS",
            Self::Engine => "ENGINE",
        }
    }
}

impl By {
    /// A customer.
    #[must_use]
    pub const fn customer(id: CustomerId) -> Self {
        Self::Customer(id)
    }

    /// A part of the engine.
    #[must_use]
    pub fn engine(part: &str) -> Self {
        Self::Engine(part.to_owned())
    }

    /// An operator.
    #[must_use]
    pub fn ops(name: &str) -> Self {
        Self::Ops(name.to_owned())
    }

    /// Another service.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self::Service(name.to_owned())
    }

    /// In which role.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Customer(_) => Role::Customer,
            Self::Service(_) => Role::Service,
            Self::Ops(_) => Role::Ops,
            Self::Engine(_) => Role::Engine,
        }
    }

    /// Which one: a customer id, a service's or operator's name, a follower's name.
    #[must_use]
    pub fn subject(&self) -> Cow<'_, str> {
        match self {
            Self::Customer(id) => Cow::Owned(id.to_string()),
            Self::Service(name) | Self::Ops(name) | Self::Engine(name) => Cow::Borrowed(name),
        }
    }

    /// Whether an order of that customer exists for them: customers see their own only.
    #[must_use]
    pub fn may_see_orders_of(&self, owner: CustomerId) -> bool {
        match self {
            Self::Customer(own) => *own == owner,
            Self::Service(_) | Self::Ops(_) | Self::Engine(_) => true,
        }
    }
}

/// A wish about one order. It may be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Command {
    /// Place it.
    Place(Place),
    /// All its units are held.
    Confirm(Confirm),
    /// Do not deliver it, or some of its open units.
    Cancel(Cancel),
    /// Its confirmation window may have passed.
    Lapse,
    /// A parcel leaves.
    Fulfill(Fulfill),
    /// Units should come back.
    RequestReturn(RequestReturn),
    /// Nobody may have judged a return in time.
    Escalate,
    /// Let the units come back.
    ApproveReturn(ApproveReturn),
    /// Leave the units with the customer.
    RejectReturn(RejectReturn),
}

impl Command {
    /// The call that asks it; for what only the engine asks, its name.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        match self {
            Self::Place(_) => "PlaceOrder",
            Self::Cancel(_) => "CancelOrder",
            Self::Fulfill(_) => "FulfillOrder",
            Self::Confirm(_)
            | Self::Lapse
            | Self::RequestReturn(_)
            | Self::Escalate
            | Self::ApproveReturn(_)
            | Self::RejectReturn(_) => self.name(),
        }
    }

    /// Its name, as in metrics and metadata.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Place(_) => "Place",
            Self::Confirm(_) => "Confirm",
            Self::Cancel(_) => "Cancel",
            Self::Lapse => "Lapse",
            Self::Fulfill(_) => "Fulfill",
            Self::RequestReturn(_) => "RequestReturn",
            Self::Escalate => "Escalate",
            Self::ApproveReturn(_) => "ApproveReturn",
            Self::RejectReturn(_) => "RejectReturn",
        }
    }
}

/// See [`Command::Place`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The id the order will have.
    pub order_id: OrderId,
    /// For whom.
    pub customer_id: CustomerId,
    /// What; numbered from 1 in this order.
    pub lines: Vec<NewLine>,
    /// Where it goes.
    pub address: Address,
    /// How the customer is reached.
    pub contact: Contact,
    /// When it was ordered by the client's own account; decides nothing.
    pub ordered_at: Option<Timestamp>,
}

/// A line to be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewLine {
    /// What.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one, not below zero.
    pub unit_price: Money,
    /// Who sells it, where a shop has several sellers.
    pub seller_id: Option<SellerId>,
}

/// Units of a line of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQuantity {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
}

/// See [`Command::Confirm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirm {
    /// The hold on the stock.
    pub reservation_id: ReservationId,
}

/// See [`Command::Cancel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cancel {
    /// Why.
    pub reason: CancelReason,
    /// Further words, at most 500 characters; may be empty.
    pub text: String,
    /// Which units; empty for all that are open.
    pub lines: Vec<LineQuantity>,
    /// The skus that were missing, for [`CancelReason::InsufficientStock`].
    pub skus: Vec<Sku>,
}

/// See [`Command::Fulfill`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fulfill {
    /// The parcel's id; the same id again changes nothing.
    pub shipment_id: ShipmentId,
    /// Which units; empty for all that are open.
    pub lines: Vec<LineQuantity>,
    /// Who carries it, at most 100 characters.
    pub carrier: String,
    /// The carrier's tracking number, at most 100 characters.
    pub tracking: String,
}

/// See [`Command::RequestReturn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestReturn {
    /// The id the return will have.
    pub return_id: ReturnId,
    /// Which units; at least one line.
    pub lines: Vec<LineQuantity>,
    /// Why, 1 to 500 characters.
    pub reason: String,
}

/// What becomes of the returned units of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLineDisposition {
    /// 1-based number of the line.
    pub line: u32,
    /// Back on the shelf, or written off.
    pub disposition: Disposition,
}

/// See [`Command::ApproveReturn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproveReturn {
    /// Which return; the one that waits, where absent.
    pub return_id: Option<ReturnId>,
    /// What becomes of the units of each line; lines that are not named are restocked.
    pub dispositions: Vec<ReturnLineDisposition>,
    /// What is paid back; the value of the units, where absent.
    pub refund: Option<Money>,
    /// Why the refund is above the value of the units; at most 500 characters.
    pub refund_reason: String,
}

/// See [`Command::RejectReturn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectReturn {
    /// Which return; the one that waits, where absent.
    pub return_id: Option<ReturnId>,
    /// Why, 1 to 500 characters.
    pub reason: String,
}
