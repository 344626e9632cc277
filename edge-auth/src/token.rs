//! The parts of a signed token: three texts in base64url, of which the first says how it is signed.
//! Never here: a decision about its claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::Denied;
use crate::key::Algorithm;

/// Longer texts are refused unread. All headers of a call may have 16 KiB; a token with 200 groups,
/// each a UUID, has 11.
pub const TOKEN_BYTES_MAX: usize = 14 * 1024;
/// Longer headers are not read: ours have under 200 bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// The media types of tokens that are for calling; others are for logins, log-outs and proofs.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token, split and not verified.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    /// The name of its key, if it names one.
    pub(crate) key: Option<String>,
    /// What is signed: header and claims as sent.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    /// Not to be believed before the signature was verified.
    pub(crate) claims: Map<String, Value>,
}

/// Everything that would let a token choose its own key, or mean something else, is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

impl Header {
    const fn is_plain(&self) -> bool {
        self.crit.is_none()
            && self.jwk.is_none()
            && self.jku.is_none()
            && self.x5u.is_none()
            && self.x5c.is_none()
            && self.zip.is_none()
            && self.b64.is_none()
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::Malformed)
}

impl<'a> Token<'a> {
    /// Splits a token; verifies nothing.
    pub(crate) fn read(text: &'a str) -> Result<Self, Denied> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Denied::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Denied::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Denied::Malformed)?;
        if header.len() > HEADER_BYTES_MAX || claims.contains('.') {
            return Err(Denied::Malformed);
        }
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| Denied::Malformed)?;
        if !header.is_plain() {
            return Err(Denied::Header);
        }
        let is_known = |typ: &String| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        if !header.typ.as_ref().is_none_or(is_known) {
            return Err(Denied::Malformed);
        }
        let algorithm = Algorithm::named(&header.alg).ok_or(Denied::Algorithm)?;
        let signature = decoded(signature)?;
        let claims = serde_json::from_slice(&decoded(claims)?).map_err(|_| Denied::Malformed)?;
        Ok(Self { algorithm, key: header.kid, signed: signed.as_bytes(), signature, claims })
    }
}
