//! A public key of an issuer, and the one algorithm that it verifies.
//! Never here: where keys come from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// How a token is signed: only with a private key, of which the issuer shows the public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// By its name in a header.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A key as an issuer shows it. What is not needed is not read.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name.
    pub(crate) name: Option<String>,
    bytes: Bytes,
}

#[derive(Clone, PartialEq, Eq)]
enum Bytes {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?}, {:?})", self.algorithm(), self.name)
    }
}

fn number(text: Option<&String>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes.get(first..)?.to_vec())
}

fn fixed(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok().filter(|bytes| bytes.len() == 32)
}

impl PublicKey {
    /// Of a point on P-256, uncompressed.
    pub(crate) const fn of_point(name: String, point: Vec<u8>) -> Self {
        Self { name: Some(name), bytes: Bytes::P256(point) }
    }

    /// From an issuer's list; none if it is not for signatures, or of a kind that we do not use.
    pub(crate) fn new(jwk: Jwk) -> Option<Self> {
        let verifies = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
        if jwk.used_for.as_ref().is_some_and(|used| used != "sig")
            || !jwk.key_ops.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let bytes = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                // Shorter ones can be broken.
                let n = number(jwk.n.as_ref()).filter(|n| (256..=1024).contains(&n.len()))?;
                Bytes::Rsa { n, e: number(jwk.e.as_ref())? }
            }
            ("EC", Some("P-256")) => {
                Bytes::P256([vec![4], fixed(jwk.x.as_ref())?, fixed(jwk.y.as_ref())?].concat())
            }
            ("OKP", Some("Ed25519")) => Bytes::Ed25519(fixed(jwk.x.as_ref())?),
            _ => return None,
        };
        let key = Self { name: jwk.kid, bytes };
        let meant = jwk.alg.as_deref().is_none_or(|name| {
            Algorithm::named(name).is_some_and(|meant| meant == key.algorithm())
        });
        meant.then_some(key)
    }

    /// The uncompressed point of a key on P-256.
    pub(crate) fn point(&self) -> Option<&[u8]> {
        match &self.bytes {
            Bytes::P256(point) => Some(point),
            Bytes::Rsa { .. } | Bytes::Ed25519(_) => None,
        }
    }

    /// The only algorithm that it verifies, whatever a token says.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.bytes {
            Bytes::Rsa { .. } => Algorithm::Rs256,
            Bytes::P256(_) => Algorithm::Es256,
            Bytes::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this is its signature of the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.bytes {
            Bytes::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Bytes::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Bytes::Ed25519(bytes) => {
                UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}
