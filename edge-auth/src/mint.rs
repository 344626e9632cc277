//! An issuer of one's own, for shops without an identity provider: a key, and tokens signed with it.
//! Never here: who may have a token.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;

use crate::Role;
use crate::claims::{EVERY_SCOPE, second};
use crate::issuer::IssuerSettings;
use crate::key::PublicKey;

/// The issuer and the audience of our own tokens.
const NAME: &str = "ordinal";
/// What stands before the point of a public key on P-256 (SubjectPublicKeyInfo, DER).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// No PEM of a key on P-256.
    #[error(
        "not a key on P-256 in PEM (PRIVATE KEY or PUBLIC KEY), as `ordinal token key` makes it"
    )]
    NotAKey,
    /// Only the public key is here.
    #[error("it is the public key; tokens are signed with the private one")]
    PublicOnly,
    /// The machine has no random numbers.
    #[error("the machine gives no random numbers")]
    Random,
    /// A time that does not exist.
    #[error("the end of the token is too far away")]
    TooLong,
}

/// What a token says.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// What its holder may call as.
    pub role: Role,
    /// The customer's id, or the name of a service or an operator.
    pub subject: &'a str,
    /// The scopes that limit it; empty if nothing but the role does.
    pub scopes: &'a [String],
    /// How long it is valid.
    pub valid_for: Duration,
}

/// The private key of our own issuer.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn der(label: &str, text: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (inside, _) = rest.split_once(&end)?;
    STANDARD.decode(inside.split_whitespace().collect::<String>()).ok()
}

/// The two numbers of a point on P-256, as keys are shown.
fn coordinates(point: &[u8]) -> Option<[String; 2]> {
    let (x, y) = point.get(1..)?.split_at_checked(32)?;
    Some([x, y].map(|part| URL_SAFE_NO_PAD.encode(part)))
}

/// The name of a key (RFC 7638): nobody has to think of one.
fn thumbprint(point: &[u8]) -> Option<String> {
    let [x, y] = coordinates(point)?;
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    Some(URL_SAFE_NO_PAD.encode(digest))
}

fn public(point: &[u8]) -> Result<PublicKey, MintError> {
    let name = thumbprint(point).filter(|_| point.len() == 65 && point.first() == Some(&4));
    Ok(PublicKey::of_point(name.ok_or(MintError::NotAKey)?, point.to_vec()))
}

impl PublicKey {
    /// From a file with the private or the public key of our own issuer.
    ///
    /// # Errors
    /// If it has neither.
    pub fn from_pem(text: &str) -> Result<Self, MintError> {
        if let Some(der) = der(PUBLIC, text) {
            return public(der.strip_prefix(&SPKI).ok_or(MintError::NotAKey)?);
        }
        public(SigningKey::from_pem(text)?.pair.public_key().as_ref())
    }

    /// The set of keys that shows this one to others (JWKS); without any if it is none of our own.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let shown = self.point().and_then(coordinates).map(|[x, y]| {
            json!({
                "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.name, "alg": "ES256",
                "use": "sig",
            })
        });
        json!({ "keys": Vec::from_iter(shown) })
    }
}

impl SigningKey {
    /// A new private key, as a file keeps it.
    ///
    /// # Errors
    /// If the machine gives no random numbers.
    pub fn generate() -> Result<String, MintError> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(pem(PRIVATE, made.map_err(|_| MintError::Random)?.as_ref()))
    }

    /// From a file.
    ///
    /// # Errors
    /// If it has no private key on P-256.
    pub fn from_pem(text: &str) -> Result<Self, MintError> {
        let Some(der) = der(PRIVATE, text) else {
            let is_public = der(PUBLIC, text).is_some();
            return Err(if is_public { MintError::PublicOnly } else { MintError::NotAKey });
        };
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
        Ok(Self { pair: pair.map_err(|_| MintError::NotAKey)?, random })
    }

    /// The public key, for those who only verify.
    #[must_use]
    pub fn public_pem(&self) -> String {
        pem(PUBLIC, &[SPKI.as_slice(), self.pair.public_key().as_ref()].concat())
    }

    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> String {
        thumbprint(self.pair.public_key().as_ref()).unwrap_or_default()
    }

    /// A token, valid from now on. `id` is its own id.
    ///
    /// # Errors
    /// If it cannot be signed, or would end too late.
    pub fn issue(&self, grant: &Grant, id: &str, now: Timestamp) -> Result<String, MintError> {
        let valid_for = i64::try_from(grant.valid_for.as_secs()).map_err(|_| MintError::TooLong)?;
        let from = second(now);
        let until = from.checked_add(valid_for).ok_or(MintError::TooLong)?;
        let scope = match grant.scopes {
            [] => EVERY_SCOPE.to_owned(),
            scopes => scopes.join(" "),
        };
        self.sign(&json!({
            "iss": NAME, "aud": NAME, "sub": grant.subject, "role": grant.role.code(),
            "scope": scope, "iat": from, "nbf": from, "exp": until, "jti": id,
        }))
    }

    /// Signs claims as they are.
    ///
    /// # Errors
    /// If the machine gives no random numbers.
    pub fn sign(&self, claims: &Value) -> Result<String, MintError> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.name()});
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = signature.map_err(|_| MintError::Random)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The settings of our own issuer.
#[must_use]
pub fn own_issuer() -> IssuerSettings {
    let all = [Role::Customer, Role::ReturnsDesk, Role::Service, Role::Ops];
    let map: BTreeMap<String, Role> =
        all.into_iter().map(|role| (role.code().to_owned(), role)).collect();
    IssuerSettings {
        roles: Some("role".to_owned()),
        map,
        customer: Some("sub".to_owned()),
        scopes: Some("scope".to_owned()),
        ..IssuerSettings::new(NAME, NAME)
    }
}
