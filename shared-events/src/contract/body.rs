use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    FactError, InventoryFact, NotificationFact, OrderFact, OrderId, Origin, PaymentFact,
    PayoutFact, Subject, json_place,
};

/// The facts that one service publishes: a table, each row with its versioned type name and the
/// fields of its JSON data. A new fact is a new row; a published row never changes.
macro_rules! facts {
    (
        $(#[$doc:meta])*
        $name:ident {
            $(
                $(#[$about:meta])*
                $kind:literal => $variant:ident {
                    $( $(#[$attribute:meta])* $field:ident: $type:ty ),* $(,)?
                }
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        #[serde(tag = "type", content = "data")]
        #[expect(
            missing_docs,
            reason = "each field is documented on the type it has, or named as on the wire"
        )]
        pub enum $name {
            $(
                $(#[$about])*
                #[serde(rename = $kind)]
                $variant { $( $(#[$attribute])* $field: $type ),* },
            )*
        }

        impl $name {
            /// Every versioned type name.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// The versioned type name.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $kind, )*
                }
            }

            /// The fact of this type with these data; none where the type is not known.
            pub(super) fn of(
                kind: &str,
                data: &serde_json::value::RawValue,
            ) -> Result<Option<Self>, serde_json::Error> {
                Ok(Some(match kind {
                    $(
                        $kind => {
                            #[derive(serde::Deserialize)]
                            struct Data { $( $(#[$attribute])* $field: $type ),* }
                            let Data { $( $field ),* } = serde_json::from_str(data.get())?;
                            Self::$variant { $( $field ),* }
                        }
                    )*
                    _ => return Ok(None),
                }))
            }
        }
    };
}
pub(super) use facts;

/// The body of a fact, by the service that publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FactBody {
    /// About an order.
    Order(OrderFact),
    /// About stock.
    Inventory(InventoryFact),
    /// About a message.
    Notification(NotificationFact),
    /// About a payment.
    Payment(PaymentFact),
    /// About what is paid out to a seller, which payments publish, too.
    Payout(PayoutFact),
}

impl FactBody {
    /// The fact of a service, from CloudEvents `type` and `data`.
    pub(super) fn of(source: Origin, kind: &str, data: &RawValue) -> Result<Self, FactError> {
        // The data are read by themselves: lines and columns are counted from their beginning.
        let read = || -> Result<Option<Self>, serde_json::Error> {
            Ok(match source {
                Origin::Orders => OrderFact::of(kind, data)?.map(Self::Order),
                Origin::Inventory => InventoryFact::of(kind, data)?.map(Self::Inventory),
                Origin::Notifications => NotificationFact::of(kind, data)?.map(Self::Notification),
                Origin::Payments => match PaymentFact::of(kind, data)? {
                    Some(fact) => Some(Self::Payment(fact)),
                    None => PayoutFact::of(kind, data)?.map(Self::Payout),
                },
            })
        };
        let body = read()
            .map_err(|error| FactError::Malformed(format!("{} in its data", json_place(&error))))?;
        body.ok_or_else(|| FactError::UnknownType { origin: source.uri(), kind: kind.to_owned() })
    }

    /// The service that publishes it.
    #[must_use]
    pub const fn source(&self) -> Origin {
        match self {
            Self::Order(_) => Origin::Orders,
            Self::Inventory(_) => Origin::Inventory,
            Self::Notification(_) => Origin::Notifications,
            Self::Payment(_) | Self::Payout(_) => Origin::Payments,
        }
    }

    /// The versioned type name, CloudEvents `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Order(fact) => fact.kind(),
            Self::Inventory(fact) => fact.kind(),
            Self::Notification(fact) => fact.kind(),
            Self::Payment(fact) => fact.kind(),
            Self::Payout(fact) => fact.kind(),
        }
    }

    /// The order it is about; none where it is about something else.
    #[must_use]
    pub const fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Order(fact) => Some(fact.order().order_id),
            Self::Inventory(fact) => Some(fact.order_id()),
            Self::Notification(fact) => Some(fact.order_id()),
            Self::Payment(fact) => fact.order_id(),
            Self::Payout(_) => None,
        }
    }

    /// What it is about, CloudEvents `subject`.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Order(fact) => fact.order().order_id.into(),
            Self::Inventory(fact) => fact.order_id().into(),
            Self::Notification(fact) => fact.order_id().into(),
            Self::Payment(fact) => fact.subject(),
            Self::Payout(fact) => fact.payout().payout_id.into(),
        }
    }
}
