//! The caller of a command, and whose orders they may see and change.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::CustomerId;

use super::{CommandKind, Details};

/// The caller, as authenticated at the edge or set inside the engine; never taken from the command.
/// Customers are compared by parsed id, however it was spelt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "subject", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum By {
    /// A customer, for own orders only.
    Customer(CustomerId),
    /// Another backend service.
    Service(Name),
    /// A service whose token has the scope `returns`: it receives the goods of returns.
    ReturnsDesk(Name),
    /// An operator.
    Ops(Name),
    /// A component of the engine.
    Engine(Component),
}

/// The name of a service or of an operator, as the token file or the journal has it. Clones share it:
/// whoever calls is noted in many places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// A component of the engine that sends commands. Any name is read, because the journal may hold
/// names of components that no longer exist; only those below send commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Component(Cow<'static, str>);

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

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Component {
    /// Passes on the answers of stock.
    pub const STOCK: Self = Self(Cow::Borrowed("stock"));
    /// Passes on the answers of payments.
    pub const PAYMENTS: Self = Self(Cow::Borrowed("payments"));
    /// Sends a command when a deadline has passed.
    pub const TIMER: Self = Self(Cow::Borrowed("timer"));

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

    /// An operator.
    #[must_use]
    pub fn ops(name: &str) -> Self {
        Self::Ops(Name(name.into()))
    }

    /// Another service.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self::Service(Name(name.into()))
    }

    /// Their role.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Customer(_) => Role::Customer,
            Self::Service(_) | Self::ReturnsDesk(_) => Role::Service,
            Self::Ops(_) => Role::Ops,
            Self::Engine(_) => Role::Engine,
        }
    }

    /// Their name: a customer id, or the name of a service, an operator or an engine component.
    #[must_use]
    pub fn subject(&self) -> Cow<'_, str> {
        match self {
            Self::Customer(id) => Cow::Owned(id.to_string()),
            Self::Service(name) | Self::ReturnsDesk(name) | Self::Ops(name) => {
                Cow::Borrowed(name.as_str())
            }
            Self::Engine(part) => Cow::Borrowed(part.as_str()),
        }
    }

    /// The only customer whose orders they may see and change; none for callers without that limit.
    #[must_use]
    pub const fn only_customer(&self) -> Option<CustomerId> {
        match self {
            Self::Customer(own) => Some(*own),
            Self::Service(_) | Self::ReturnsDesk(_) | Self::Ops(_) | Self::Engine(_) => None,
        }
    }

    /// Whether they may send commands of this kind at all, as far as their scope decides.
    #[must_use]
    pub const fn may_send(&self, kind: CommandKind) -> bool {
        !matches!(self, Self::ReturnsDesk(_)) || matches!(kind, CommandKind::ReceiveReturn)
    }

    /// Whether they may see this order: customers only their own, all others every order.
    #[must_use]
    pub fn owns(&self, details: &Details) -> bool {
        self.owns_orders_of(details.customer_id)
    }

    /// Whether they may see orders of this customer.
    #[must_use]
    pub fn owns_orders_of(&self, customer_id: CustomerId) -> bool {
        self.only_customer().is_none_or(|own| own == customer_id)
    }
}
