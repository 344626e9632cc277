//! Parts of payments, and the words of a payment plan, as facts have them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::printable::{PrintableError, printable};
use super::{Money, OperationId, OrderId, PaymentId, Timestamp};

/// Who sells, by the shop's own name of them: 1 to 60 printable characters, blanks inside included.
/// Blanks at its ends are cut off and characters composed (NFC) when it is parsed. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seller(Arc<str>);

impl Seller {
    /// The most characters.
    pub const LEN_MAX: usize = 60;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PaymentId {
    /// The payment of an order for a seller: a UUID (version 5 of the order and the seller), so
    /// that every service knows it without asking.
    #[must_use]
    pub fn of(order: OrderId, seller: Option<&Seller>) -> Self {
        let name = format!("payment/{}", seller.map(Seller::as_str).unwrap_or_default());
        Self::from_uuid(Uuid::new_v5(&order.uuid(), name.as_bytes()))
    }
}

/// The name of a payment service provider in settings, accounts and facts: 1 to 30 lower-case
/// letters, digits and `_`, such as `stripe`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PspName(Arc<str>);

impl PspName {
    /// The most characters.
    pub const LEN_MAX: usize = 30;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not the name of a seller or of a provider. Never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Not a seller.
    #[error("not a seller: {0}")]
    Seller(PrintableError),
    /// Not a provider.
    #[error("1 to 30 lower-case letters (a to z), digits and `_`")]
    Psp,
}

impl FromStr for Seller {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = printable(text, Self::LEN_MAX).map_err(ParseNameError::Seller)?;
        Ok(Self(text.as_ref().into()))
    }
}

impl FromStr for PspName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_stand = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if (1..=Self::LEN_MAX).contains(&text.len()) && text.bytes().all(may_stand) {
            Ok(Self(text.into()))
        } else {
            Err(ParseNameError::Psp)
        }
    }
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! { Seller PspName }

// Closed lists with stable names.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $code:literal)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $code)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name, as on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The one with this stable name.
            #[must_use]
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.code() == code)
            }
        }
    )*};
}
pub(super) use words;

words! {
    /// When secured money is taken.
    CapturePolicy {
        /// With each parcel, what the parcel is worth.
        OnFulfil = "ON_FULFIL"
        /// All of it, when the order is confirmed.
        OnConfirm = "ON_CONFIRM"
    }
    /// What happens to an order with several sellers when the money for one of them is not secured.
    PaymentPolicy {
        /// The order fails as a whole.
        AllOrNone = "ALL_OR_NONE"
        /// The lines of that seller are cancelled, and the order goes on.
        PerSeller = "PER_SELLER"
    }
    /// Why secured money is gone.
    LossCause {
        /// The authorisation ended before it was captured.
        Expired = "EXPIRED"
        /// The provider took the authorisation back.
        Reversed = "REVERSED"
        /// A capture failed for good.
        CaptureFailed = "CAPTURE_FAILED"
    }
    /// How a dispute ended.
    DisputeOutcome {
        /// For the seller: the money stays.
        Won = "WON"
        /// For the customer: they have it back.
        Lost = "LOST"
    }
    /// What the provider took back.
    Reversed {
        /// An authorisation.
        Authorization = "AUTHORIZATION"
        /// A capture.
        Capture = "CAPTURE"
        /// A refund: the amount can be refunded again.
        Refund = "REFUND"
    }
}

/// What of one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentPart {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much of it.
    pub amount: Money,
}

/// A payment that an order asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestedPayment {
    /// The seller who gets it; absent where the shop itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<Seller>,
    /// The payment: [`PaymentId::of`] the order and the seller.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// The shop's fee of it, in hundredths of a percent: 0 to 10,000.
    pub fee_bps: u16,
}

/// The part that every fact about the money of one payment has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentHeader {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The seller who gets it; absent where the shop itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<Seller>,
    /// The provider.
    pub psp: PspName,
    /// How much; never negative.
    pub amount: Money,
    /// What was done at the provider. A reversal names what it reverses; an end of an
    /// authorisation names the authorisation.
    pub operation_id: OperationId,
    /// What caused it: an attempt, a parcel, a refund, or a fact of an order.
    pub cause: Uuid,
    /// When it happened.
    pub at: Timestamp,
}
