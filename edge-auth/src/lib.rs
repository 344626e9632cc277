//! Who calls: signed tokens (JWT), the keys of their issuers, and the caller that their claims stand
//! for. Time is passed in; nothing here starts a task.
//! Never here: services, roles of single methods, or a token in a log or an error.

mod cache; // tokens that were verified before
mod claims; // what a token says of its holder
mod fetch; // discovery and keys of an issuer, over HTTP
mod issuer; // the settings of an issuer, checked
mod issuers; // all issuers: the check of a token
mod key; // a public key and what it verifies
mod keys; // the keys of an issuer, kept up to date
mod mint; // keys and tokens of an issuer of one's own
mod token; // the parts of a token

pub use fetch::{Fetch, FetchError, Http};
pub use issuer::{IssuerError, IssuerSettings, JwksTimes};
pub use issuers::{Checked, Issuers, Wait};
pub use key::{Algorithm, PublicKey};
pub use keys::{COOLDOWN, FETCH_WITHIN, KeySet, WAITING_MAX};
pub use mint::{Grant, MintError, SigningKey, own_issuer};
pub use token::TOKEN_BYTES_MAX;

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// A customer, who sees his own orders.
    Customer,
    /// A returns desk: a service that reads orders and receives goods.
    ReturnsDesk,
    /// Another program of the shop.
    Service,
    /// An operator.
    Ops,
}

impl Role {
    /// As settings and tokens write it, such as `OPS`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::ReturnsDesk => "RETURNS_DESK",
            Self::Service => "SERVICE",
            Self::Ops => "OPS",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Customer, Self::ReturnsDesk, Self::Service, Self::Ops];
        let found = all.into_iter().find(|role| role.code().eq_ignore_ascii_case(text));
        found.ok_or_else(|| "is not CUSTOMER, SERVICE, RETURNS_DESK or OPS".to_owned())
    }
}

/// The holder of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the holder is.
    pub role: Role,
    /// The customer's id, or the name of a service or an operator. Not checked any further here.
    pub subject: String,
    /// The scopes that limit the holder; none if nothing but the role does.
    pub scopes: Option<Vec<String>>,
    /// When the token ends, in seconds since 1970.
    pub expires: i64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Longer than any token of ours; not looked at.
    #[error("the token is too long")]
    TooLong,
    /// Not the three parts of a signed token, or one of them is not what it must be.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// `none`, an algorithm with a shared secret, or one that is not used here.
    #[error("the algorithm of the token is not accepted; RS256, ES256 and EdDSA are")]
    Algorithm,
    /// The header brings a key of its own, or an extension.
    #[error("the header of the token has a key or an extension, which is not accepted")]
    Header,
    /// No issuer of the settings.
    #[error("the issuer of the token is not one of this engine's")]
    Issuer,
    /// The issuer has no such key.
    #[error("the key of the token is not known")]
    Key,
    /// The signature is not by that key.
    #[error("the signature of the token is not valid")]
    Signature,
    /// The token is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It names no role of ours, or not what the role needs.
    #[error("the token gives no role here")]
    Role,
    /// The keys of the issuer cannot be had at the moment.
    #[error("the keys of the token's issuer are not available")]
    Unavailable,
}

impl Denied {
    /// As programs compare it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "TOO_LONG",
            Self::Malformed => "MALFORMED",
            Self::Algorithm => "ALGORITHM",
            Self::Header => "HEADER",
            Self::Issuer => "UNKNOWN_ISSUER",
            Self::Key => "UNKNOWN_KEY",
            Self::Signature => "SIGNATURE",
            Self::Audience => "AUDIENCE",
            Self::Expired => "EXPIRED",
            Self::NotYet => "NOT_YET_VALID",
            Self::Role => "NO_ROLE",
            Self::Unavailable => "KEYS_UNAVAILABLE",
        }
    }
}
