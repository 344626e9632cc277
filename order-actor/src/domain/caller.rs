//! Who asks, and whose orders they may see and change.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use shared_events::contract::CustomerId;

use super::Details;

/// Who asks, as proved at the edge or known inside; never taken from the command itself. Parsed
/// once: a customer is an id and compared as one, however it was spelt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "subject", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum By {
    /// A customer, for own orders only.
    Customer(CustomerId),
    /// Another backend service.
    Service(Name),
    /// An operator.
    Ops(Name),
    /// A part of the engine.
    Engine(Part),
}

/// The name of a service or of an operator, as the token file or the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

/// A part of the engine that speaks to orders. The journal may hold the names of parts that there
/// are no more, so any name is read; what speaks is one of those below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Part(Cow<'static, str>);

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
        Self(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Part {
    /// What passes on the answers of stock.
    pub const STOCK: Self = Self(Cow::Borrowed("stock"));
    /// What rings when a deadline has passed.
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
        Self::Ops(Name(name.to_owned()))
    }

    /// Another service.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self::Service(Name(name.to_owned()))
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

    /// Which one: a customer id, a service's or operator's name, a part of the engine.
    #[must_use]
    pub fn subject(&self) -> Cow<'_, str> {
        match self {
            Self::Customer(id) => Cow::Owned(id.to_string()),
            Self::Service(name) | Self::Ops(name) => Cow::Borrowed(name.as_str()),
            Self::Engine(part) => Cow::Borrowed(part.as_str()),
        }
    }

    /// The customer whose orders are the only ones that they may see and change; none for those who
    /// may see everybody's.
    #[must_use]
    pub const fn only_customer(&self) -> Option<CustomerId> {
        match self {
            Self::Customer(own) => Some(*own),
            Self::Service(_) | Self::Ops(_) | Self::Engine(_) => None,
        }
    }

    /// Whether an order exists for them: customers have their own only, all others everybody's.
    #[must_use]
    pub fn owns(&self, details: &Details) -> bool {
        self.owns_orders_of(details.customer_id)
    }

    /// The same, of orders of that customer.
    #[must_use]
    pub fn owns_orders_of(&self, customer_id: CustomerId) -> bool {
        self.only_customer().is_none_or(|own| own == customer_id)
    }
}
