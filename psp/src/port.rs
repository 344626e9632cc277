use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared_events::contract::{CustomerId, Money, Timestamp};
use uuid::Uuid;

use crate::Kind;

/// The idempotency key of a call: an operation and how often its request was repaired. A provider
/// carries a key out once, and repeats its answer while it remembers the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The operation that calls.
    pub operation: Uuid,
    /// 0 at first; one more each time that a refused request was mended.
    pub generation: u32,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.operation, self.generation)
    }
}

/// Our own reference, by which a provider can be asked what became of a call: the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OurReference(pub Uuid);

/// The provider's name of what it did: 1 to 100 printable ASCII characters without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PspReference(String);

/// What stands for a card or an account at the provider: 1 to 200 printable ASCII characters
/// without spaces. It is a secret: neither `Debug` nor anything else shows it, but [`Token::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A reference or token that is empty, too long, or not printable ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to {0} printable ASCII characters without spaces")]
pub struct NotAReference(pub usize);

fn printable(text: &str, max: usize) -> Result<String, NotAReference> {
    let fits = (1..=max).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(NotAReference(max))
    }
}

impl PspReference {
    /// The most characters.
    pub const CHARS_MAX: usize = 100;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PspReference {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PspReference {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Self, NotAReference> {
        text.parse()
    }
}

impl FromStr for PspReference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        printable(text, Self::CHARS_MAX).map(Self)
    }
}

impl fmt::Display for PspReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Token {
    /// The most characters.
    pub const CHARS_MAX: usize = 200;

    /// The secret itself: for the provider, and for the table that keeps it while it is needed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        printable(text, Self::CHARS_MAX).map(Self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Reserves money of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// Of the call.
    pub key: CallKey,
    /// How much.
    pub amount: Money,
    /// Who pays.
    pub token: Token,
    /// The customer of the order, where it is known. For providers that know customers as we do;
    /// others are told nothing of them.
    pub customer: Option<CustomerId>,
    /// Until when the customer may act, where the provider asks them to.
    pub action_until: Timestamp,
}

/// Takes reserved money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Of the call.
    pub key: CallKey,
    /// Of the authorisation.
    pub authorization: PspReference,
    /// How much.
    pub amount: Money,
    /// Whether the rest of the authorisation stays for later captures.
    pub more_follows: bool,
}

/// Gives back what is reserved and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// Of the call.
    pub key: CallKey,
    /// Of the authorisation.
    pub authorization: PspReference,
}

/// Pays back what was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Of the call.
    pub key: CallKey,
    /// Of the capture.
    pub capture: PspReference,
    /// How much.
    pub amount: Money,
}

/// Pays a seller out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Of the call.
    pub key: CallKey,
    /// Where to: the shop's name of the seller, by which the provider knows their account.
    pub destination: String,
    /// How much.
    pub amount: Money,
}

/// The code by which a provider that pays nobody out refuses it.
pub const NO_PAYOUTS: &str = "payouts_not_supported";

/// How a provider answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The money moved.
    Done {
        /// The provider's name of it.
        reference: PspReference,
        /// How much, which for an authorisation may be less than asked for.
        amount: Money,
        /// For an authorisation: until when it stands.
        valid_until: Option<Timestamp>,
    },
    /// The provider works on it.
    Pending {
        /// The provider's name of it.
        reference: PspReference,
    },
    /// The customer must act first, for example at their bank.
    ActionRequired {
        /// The provider's name of it.
        reference: PspReference,
        /// Where the customer acts. A secret: neither logs nor events have it.
        url: String,
    },
    /// A definite no from the issuer.
    Declined {
        /// Why, in lower case with `_`, such as `insufficient_funds`.
        code: String,
    },
    /// The provider refused the request itself. Nothing happened.
    Refused {
        /// Why, in lower case with `_`.
        code: String,
        /// Whether another try of the same request may be accepted later.
        repairable: bool,
    },
    /// Nobody knows whether it happened: a time-out, a cut connection, a fault of the provider.
    Unknown {
        /// What was seen, without secrets.
        why: String,
    },
}

/// What a provider knows under our reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The newest answer to that operation.
    Known(Answer),
    /// Nothing. Shortly after a call this proves nothing ([`Capabilities::grace_seconds`]).
    Nothing,
    /// The provider could not be asked.
    Unknown {
        /// What was seen, without secrets.
        why: String,
    },
}

/// What is looked up at a provider. Some find an operation only beside what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The operation of ours.
    pub operation: OurReference,
    /// What it does.
    pub kind: Kind,
    /// The authorisation that it captures or voids, or the capture that it refunds; of an
    /// authorisation or a payout the provider's own name, where that is known.
    pub about: Option<PspReference>,
}

/// What somebody else did at a provider, such as a refund by a person in its console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// What was done.
    pub kind: Kind,
    /// The authorisation that it belongs to.
    pub payment: PspReference,
    /// The provider's name of it.
    pub reference: PspReference,
}

/// What a provider can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether one authorisation may be captured in several parts.
    pub multi_capture: bool,
    /// Whether part of a capture may be refunded.
    pub partial_refund: bool,
    /// Whether a capture with `more_follows: false` releases the rest at once.
    pub release_remainder: bool,
    /// Whether it pays sellers out.
    pub payouts: bool,
    /// For how long an authorisation stands, in seconds, where the answer does not say.
    pub authorization_seconds: u32,
    /// For how long a key is remembered, in seconds.
    pub key_seconds: u32,
    /// How long after a call "not found" may still be wrong, in seconds.
    pub grace_seconds: u32,
}

/// A payment service provider. No call panics or waits without a bound: what is not known is
/// [`Answer::Unknown`].
#[async_trait]
pub trait Psp: Send + Sync {
    /// Its name in settings, accounts and facts: 1 to 30 lower-case letters, digits and `_`.
    fn name(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Reserves money.
    async fn authorize(&self, call: Authorize) -> Answer;

    /// Takes reserved money.
    async fn capture(&self, call: Capture) -> Answer;

    /// Gives reserved money back.
    async fn void(&self, call: Void) -> Answer;

    /// Pays taken money back.
    async fn refund(&self, call: Refund) -> Answer;

    /// Pays a seller out. [`Answer::Pending`] where it was accepted, [`Answer::Done`] where the money
    /// has arrived; later it may come back all the same. Nothing happens at a provider that cannot.
    async fn payout(&self, _call: Payout) -> Answer {
        Answer::Refused { code: NO_PAYOUTS.to_owned(), repairable: false }
    }

    /// What became of an operation of ours.
    async fn fetch(&self, of: OurReference) -> Found;

    /// What became of an operation of ours, of which we know what it is about. Who knows that asks
    /// so: it is answered sooner and more surely than [`Psp::fetch`].
    async fn find(&self, of: &Lookup) -> Found {
        self.fetch(of.operation).await
    }

    /// What became of something that is no operation of ours, by the provider's name of it. The
    /// amount of a capture is all that is taken of its authorisation.
    async fn look(&self, of: &Theirs) -> Found;
}
