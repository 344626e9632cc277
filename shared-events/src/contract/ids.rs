use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// It is not a UUID.
    #[error("not a UUID such as 018f6f3e-0000-7000-8000-00000000000a")]
    NoUuid,
    /// It is the nil UUID, which usually is a forgotten field.
    #[error("the nil UUID is not an id")]
    Nil,
}

// A table of ids: each is a UUID with a type of its own, so that one cannot be used for another.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these 128 bits.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Parses an id from storage, whatever UUID it is. Ids from callers are parsed by
            /// `FromStr`, which refuses the nil UUID.
            ///
            /// # Errors
            /// [`ParseIdError::NoUuid`].
            pub fn recorded(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError::NoUuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Self::recorded(text)?;
                if id.0.is_nil() { Err(ParseIdError::Nil) } else { Ok(id) }
            }
        }
    )*};
}

ids! {
    /// An order. Chosen by the client or minted at the edge; also the order's idempotency key.
    OrderId
    /// The customer who placed an order.
    CustomerId
    /// The seller of a line, where a shop has several.
    SellerId
    /// The reservation of stock for an order.
    ReservationId
    /// A parcel.
    ShipmentId
    /// A return, minted when it is requested.
    ReturnId
    /// A hold of an order.
    HoldId
    /// An edit of an order's lines.
    EditId
    /// A message to a customer, in the ledger of the notification service.
    NotificationId
    /// A payment: what an order asks for one seller, or for the shop; see [`PaymentId::of`].
    PaymentId
    /// One thing that is done at a payment service provider.
    OperationId
    /// What is paid out to a seller at one time.
    PayoutId
    /// A refund of an order: the return, or the cancellation, that caused it.
    RefundId
    /// A provider's settlement report that was imported.
    SettlementId
    /// A line of a provider's settlement report; see [`SettlementLineId::of`].
    SettlementLineId
    /// Identifies a command across its retries.
    RequestId
    /// What a fact or an event is about: an order, or something else. Items of one subject stay in
    /// order.
    Subject
}

impl From<ReturnId> for RefundId {
    fn from(cause: ReturnId) -> Self {
        Self(cause.0)
    }
}

impl From<PayoutId> for Subject {
    fn from(payout: PayoutId) -> Self {
        Self(payout.0)
    }
}

impl From<OrderId> for Subject {
    fn from(order: OrderId) -> Self {
        Self(order.0)
    }
}

impl From<SettlementLineId> for Subject {
    fn from(line: SettlementLineId) -> Self {
        Self(line.0)
    }
}
