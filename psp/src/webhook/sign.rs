//! Signatures of webhooks, as each dialect has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;
use shared_events::contract::Timestamp;

use super::{Secret, TOLERANCE_SECONDS, Unverified};
use crate::Dialect;

/// A header with signatures is at most so long.
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Signatures of one header that are looked at.
const SIGNATURES_MAX: usize = 8;

/// The key of a Standard Webhooks secret.
pub(super) fn standard_key(text: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn hmac_of(secret: &Secret, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&key(secret));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
}

/// The headers that sign a body: names in lower case, with their values.
#[must_use]
pub fn sign(
    dialect: Dialect,
    secret: &Secret,
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let time = seconds(at).to_string();
    match dialect {
        Dialect::Simulator => {
            let head = format!("{id}.{time}.");
            let tag = hmac_of(secret, &[head.as_bytes(), body]);
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", time),
                ("webhook-signature", format!("v1,{}", STANDARD.encode(tag.as_ref()))),
            ]
        }
        Dialect::Stripe => {
            let head = format!("{time}.");
            let tag = hmac_of(secret, &[head.as_bytes(), body]);
            vec![("stripe-signature", format!("t={time},v1={}", hex::encode(tag.as_ref())))]
        }
        Dialect::Razorpay => {
            let tag = hmac_of(secret, &[body]);
            vec![
                ("x-razorpay-signature", hex::encode(tag.as_ref())),
                ("x-razorpay-event-id", id.to_owned()),
            ]
        }
    }
}

pub(super) fn verify(
    dialect: Dialect,
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    received: Timestamp,
) -> Result<(), Unverified> {
    let header = |name: &str| -> Result<&str, Unverified> {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        let value = value.filter(|value| value.len() <= HEADER_BYTES_MAX);
        value.ok_or(Unverified::Unsigned)
    };
    let (head, time, signatures) = match dialect {
        Dialect::Simulator => {
            let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
            let signatures = header("webhook-signature")?.split(' ');
            let signatures = signatures
                .filter_map(|one| one.strip_prefix("v1,"))
                .filter_map(|one| STANDARD.decode(one).ok());
            (format!("{id}.{time}."), Some(time), signatures.take(SIGNATURES_MAX).collect())
        }
        Dialect::Stripe => {
            let parts: Vec<(&str, &str)> = header("stripe-signature")?
                .split(',')
                .filter_map(|part| part.trim().split_once('='))
                .collect();
            let time = parts.iter().find(|(name, _)| *name == "t");
            let time = time.ok_or(Unverified::Unsigned)?.1;
            let signatures = parts
                .iter()
                .filter(|(name, _)| *name == "v1")
                .filter_map(|(_, one)| hex::decode(one).ok());
            (format!("{time}."), Some(time), signatures.take(SIGNATURES_MAX).collect())
        }
        Dialect::Razorpay => {
            let one = hex::decode(header("x-razorpay-signature")?);
            (String::new(), None, Vec::from_iter(one.ok()))
        }
    };
    let signatures: Vec<Vec<u8>> = signatures;
    if signatures.is_empty() {
        return Err(Unverified::Unsigned);
    }
    let signed = [head.as_bytes(), body].concat();
    let genuine = secrets.iter().any(|secret| {
        let key = key(secret);
        // In constant time.
        signatures.iter().any(|one| hmac::verify(&key, &signed, one).is_ok())
    });
    if !genuine {
        return Err(Unverified::WrongSignature);
    }
    let Some(time) = time else { return Ok(()) };
    let time: i64 = time.parse().map_err(|_| Unverified::Unsigned)?;
    let apart = seconds(received).saturating_sub(time).saturating_abs();
    if apart <= TOLERANCE_SECONDS { Ok(()) } else { Err(Unverified::OutOfTime) }
}
