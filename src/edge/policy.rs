//! Who may call a method, as its proto says beside it (ordinal/policy/v1/policy.proto).
//! Never here: who a caller is, or which methods there are.

use std::fmt;

use order_actor::domain::By;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

/// The option beside a method.
const OPTION: &str = "ordinal.policy.v1.policy";

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A customer.
    Customer,
    /// Another program of the shop, and processes of the engine.
    Service,
    /// A service that reads orders and receives goods.
    ReturnsDesk,
    /// An operator.
    Ops,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Service, Self::ReturnsDesk, Self::Ops];

    /// The kind of a caller; the engine's own components are none, they make no calls.
    #[must_use]
    pub const fn of(by: &By) -> Option<Self> {
        match by {
            By::Customer(_) => Some(Self::Customer),
            By::Service(_) => Some(Self::Service),
            By::ReturnsDesk(_) => Some(Self::ReturnsDesk),
            By::Ops(_) => Some(Self::Ops),
            By::Engine(_) => None,
        }
    }

    /// Its name, such as `OPS`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Service => "SERVICE",
            Self::ReturnsDesk => "RETURNS_DESK",
            Self::Ops => "OPS",
        }
    }

    /// By its number in the proto.
    const fn numbered(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Customer),
            2 => Some(Self::Service),
            3 => Some(Self::ReturnsDesk),
            4 => Some(Self::Ops),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How it is made sure that a customer reaches own orders only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The method is not for customers.
    Nobody,
    /// The service looks, before anything else.
    Service,
    /// The order in `order_id` is looked up first.
    OrderId,
}

/// Who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The kinds of callers that may.
    pub callers: Vec<Kind>,
    /// The scope that a token with scopes needs; empty for none.
    pub scope: String,
    /// How customers are kept to their own orders.
    pub whose: Whose,
    /// Whether the method is told all that is known of its caller.
    pub answers_caller: bool,
}

impl Policy {
    /// Whether a kind of caller is let through to the service. A service that looks whose order it
    /// is first answers callers itself that may not call the method.
    #[must_use]
    pub fn admits(&self, kind: Kind) -> bool {
        let answered = self.whose == Whose::Service && kind != Kind::ReturnsDesk;
        answered || self.callers.contains(&kind)
    }

    /// Whether scopes allow it; those of customers are not asked for.
    #[must_use]
    pub fn in_scope(&self, kind: Kind, scopes: Option<&[String]>) -> bool {
        kind == Kind::Customer
            || self.scope.is_empty()
            || scopes.is_none_or(|scopes| scopes.contains(&self.scope))
    }

    /// Of a method; none if it says nothing.
    pub(super) fn of(method: &MethodDescriptor) -> Option<Self> {
        let option = method.parent_pool().get_extension_by_name(OPTION)?;
        let options = method.options();
        let value = options.has_extension(&option).then(|| options.get_extension(&option))?;
        value.as_message().map(Self::read)
    }

    fn read(option: &DynamicMessage) -> Self {
        let field = |name: &str| option.get_field_by_name(name);
        let callers = field("callers");
        let callers = callers.as_deref().and_then(Value::as_list).unwrap_or_default();
        let callers = callers.iter().filter_map(Value::as_enum_number);
        let scope = field("scope").and_then(|value| value.as_str().map(str::to_owned));
        Self {
            callers: callers.filter_map(Kind::numbered).collect(),
            scope: scope.unwrap_or_default(),
            whose: match field("whose").and_then(|value| value.as_enum_number()) {
                Some(1) => Whose::Service,
                Some(2) => Whose::OrderId,
                _ => Whose::Nobody,
            },
            answers_caller: field("answers_caller").and_then(|value| value.as_bool()) == Some(true),
        }
    }
}
