//! Webhooks of providers: whether they are genuine, and what they tell.
//! Never here: a body or a secret in an error. What is told is a hint; nothing is decided by it.

mod own; // the simulator's bodies
mod razorpay; // Razorpay's
mod sign; // signatures
mod stripe; // Stripe's

use std::fmt;

use http::HeaderMap;
use ring::digest;
use shared_events::contract::{Currency, Money, Timestamp};

pub use sign::sign;

use crate::{Dialect, Event, OurReference, PspReference};

/// Larger bodies are refused.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The headers that sign a body, in any dialect. A process that passes a webhook on passes these.
pub const SIGNING_HEADERS: [&str; 5] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "stripe-signature",
    "x-razorpay-signature",
];
/// How far the time in a signature may be from the time of receipt, either way, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;
/// Secrets that count at once: the new one, and the one before it.
pub const SECRETS_MAX: usize = 2;

/// The secret that signs webhooks. Never displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why there is no verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Without a secret nothing can be verified.
    #[error("a webhook secret is missing")]
    Missing,
    /// More than two.
    #[error("at most two webhook secrets count at once")]
    TooMany,
    /// One that could be guessed, or is not what the dialect has.
    #[error("a webhook secret has 8 to 200 printable characters without spaces")]
    Invalid,
    /// The simulator's are those of Standard Webhooks.
    #[error("the simulator's webhook secret is whsec_ and the base64 of 24 to 64 bytes")]
    NotBase64,
}

impl Secret {
    /// A secret as the provider shows it.
    ///
    /// # Errors
    /// [`SecretError::Invalid`], [`SecretError::NotBase64`].
    pub fn new(dialect: Dialect, text: &str) -> Result<Self, SecretError> {
        let fits = (8..=200).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Invalid);
        }
        match dialect {
            Dialect::Simulator => sign::standard_key(text).map(Self).ok_or(SecretError::NotBase64),
            Dialect::Stripe | Dialect::Razorpay => Ok(Self(text.as_bytes().to_vec())),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Verifies and reads the webhooks of one provider. There is none without a secret.
#[derive(Clone, Debug)]
pub struct Verifier {
    dialect: Dialect,
    secrets: Vec<Secret>,
}

/// Why a webhook is not taken as genuine. Answered with 401 (413 where it is too large).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// More than [`BODY_BYTES_MAX`].
    #[error("the body is larger than 256 KiB")]
    TooLarge,
    /// No signature, or not of the form that the provider documents.
    #[error("it has no signature")]
    Unsigned,
    /// No live secret made the signature over these bytes.
    #[error("no live secret made this signature")]
    WrongSignature,
    /// The signed time is too far from the time of receipt.
    #[error("its time is more than 300 s from now")]
    OutOfTime,
}

/// A genuine webhook that is not understood. Answered with 200 and kept for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not what the provider documents")]
pub struct NotUnderstood;

impl Verifier {
    /// A verifier with one or two live secrets.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn new(dialect: Dialect, secrets: Vec<Secret>) -> Result<Self, SecretError> {
        match secrets.len() {
            0 => Err(SecretError::Missing),
            1..=SECRETS_MAX => Ok(Self { dialect, secrets }),
            _ => Err(SecretError::TooMany),
        }
    }

    /// Whether the provider sent exactly these bytes. The tolerance is judged here, at receipt, and
    /// not again when the webhook is handled. Razorpay signs no time.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        received: Timestamp,
    ) -> Result<(), Unverified> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Unverified::TooLarge);
        }
        sign::verify(self.dialect, &self.secrets, headers, body, received)
    }

    /// What a verified body tells.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn read(&self, body: &[u8]) -> Result<Event, NotUnderstood> {
        match self.dialect {
            Dialect::Simulator => own::read(body),
            Dialect::Stripe => stripe::read(body),
            Dialect::Razorpay => razorpay::read(body, &body_id(body)),
        }
    }
}

/// An id for a body that names none in its signed part: the same bytes have the same.
#[must_use]
pub fn body_id(body: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, body);
    format!("body_{}", hex::encode(digest.as_ref()))
}

/// Seconds since 1970, as providers have times.
pub(crate) fn seconds(since_1970: i64) -> Option<Timestamp> {
    Timestamp::checked_from_micros(since_1970.checked_mul(1_000_000)?)
}

fn reference(text: &str) -> Result<PspReference, NotUnderstood> {
    text.parse().map_err(|_| NotUnderstood)
}

fn our(text: Option<&str>) -> Option<OurReference> {
    text.and_then(|text| text.parse().ok()).map(OurReference)
}

fn money(dialect: Dialect, amount: i64, currency: &str) -> Result<Money, NotUnderstood> {
    let currency = currency.to_ascii_uppercase();
    let currency = Currency::recorded(&currency).map_err(|_| NotUnderstood)?;
    dialect.money(amount, currency).map_err(|_| NotUnderstood)
}

/// A code as answers have it: lower case with `_`, at most 40 characters.
pub(crate) fn code(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_') => c,
        _ => '_',
    };
    let code: String = text.chars().take(40).map(plain).collect();
    if code.is_empty() { "unknown".to_owned() } else { code }
}
